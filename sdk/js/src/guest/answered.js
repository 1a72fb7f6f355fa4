// Not for plugins.
import { failure } from '../plugin.js';

/** Calls the plugin; whatever it throws becomes the contract's error. */
export function answered(call) {
  try {
    return call();
  } catch (e) {
    const error = failure(e);
    throw { code: error.code, message: error.line(), status: error.status };
  }
}
