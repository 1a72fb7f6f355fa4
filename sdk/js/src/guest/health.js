// The export `plenum:plugin/health`; not for plugins.
import { answered } from './answered.js';

export const health = (plugin) => ({
  check() {
    answered(() => plugin.check());
  },
});
