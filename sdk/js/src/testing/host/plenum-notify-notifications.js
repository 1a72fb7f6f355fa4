// The fake's notifications.
import { allowed, copy } from '../state.js';

export function send(message) {
  const s = allowed('notify.send');
  s.notifications.push(copy(message));
  return message.users.length + message.roles.length;
}
