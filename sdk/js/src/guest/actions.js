// The export `plenum:plugin/actions`; not for plugins.
import { answered } from './answered.js';

export const actions = (plugin) => ({
  call(name, input) {
    return answered(() => plugin.call(name, input));
  },
});
