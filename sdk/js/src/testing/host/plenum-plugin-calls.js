// The fake's other plugins.
import { allowed, refuse, state } from '../state.js';

export function call(plugin, action, input) {
  allowed('plugins.use');
  state.calls.push([`${plugin}.${action}`, JSON.parse(input)]);
  if (!state.onCall) refuse(404, 'plugin.not_found', `nobody answers ${plugin}.${action}; say what it does with Fake.onCall`);
  return JSON.stringify(state.onCall(plugin, action, JSON.parse(input)));
}
