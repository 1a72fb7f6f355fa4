// Telling people, under the bell of the portal. Takes the permission `notify.send`, scoped by `users` and `roles`.
import { send as wireSend } from 'plenum:notify/notifications@0.3.0';
import { ask } from './error.js';

/** Tells people by login name, and all with a role; answers how many. With the `key` of an earlier one nobody is told again. */
export function send({ title, body = '', level = 'info', users = [], roles = [], link, key }) {
  return ask(() => wireSend({ users, roles, level, title, body, link, key }));
}
