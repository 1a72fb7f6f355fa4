// The export `plenum:plugin/events`; not for plugins.
import { answered } from './answered.js';

export const events = (plugin) => ({
  handle(event) {
    answered(() => plugin.deliver(event));
  },
});
