// The export `plenum:plugin/schedule`; not for plugins.
import { answered } from './answered.js';

export const schedule = (plugin) => ({
  fire(id, due) {
    answered(() => plugin.fire(id, due));
  },
});
