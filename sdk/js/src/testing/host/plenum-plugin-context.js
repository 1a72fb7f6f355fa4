// The fake's call.
import { copy, state } from '../state.js';

export function current() {
  return { id: 'call-1', plugin: 'fake', version: '0.0.0', user: copy(state.user), idempotencyKey: state.key };
}

export function settings() {
  return JSON.stringify(state.settings);
}
