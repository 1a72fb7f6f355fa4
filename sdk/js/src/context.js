// What the plugin may know of the call that it answers. Needs no permission.
import { current as wireCurrent, settings as wireSettings } from 'plenum:plugin/context@0.1.0';
import { get as wireSecret } from 'plenum:plugin/secrets@0.1.0';
import { PlenumError } from './error.js';

/** Whether a person may change things: administrators and operators. */
export const mayWrite = (user) => user.role === 'administrator' || user.role === 'operator';

/** The call that is being answered: id, plugin, version, user (null where nobody started it), idempotencyKey. */
export function current() {
  const call = wireCurrent();
  return { ...call, user: call.user ?? null, idempotencyKey: call.idempotencyKey ?? null };
}

/** The person on whose behalf; an error with status 403 when there is none. */
export function user() {
  const found = current().user;
  if (!found) throw PlenumError.forbidden('plugin.no_user', 'this is only for a signed-in person');
  return found;
}

/** The person on whose behalf, if they may change things; else an error with status 403. */
export function writer() {
  return writing(user());
}

/** The person, if they may change things; else an error with status 403. */
export function writing(person) {
  if (!mayWrite(person)) {
    throw PlenumError.forbidden('plugin.read_only', `${person.name} is a ${person.role} and may look, not change; ask an operator`);
  }
  return person;
}

/** The value of a setting with `secret = true`; null when it is not set. Keep it out of the log, answers and records. */
export function secret(name) {
  return wireSecret(name) ?? null;
}

/** The plugin's settings, with defaults filled in. */
export function settings() {
  return JSON.parse(wireSettings());
}
