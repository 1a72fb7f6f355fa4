// The export `plenum:plugin/lifecycle`; not for plugins.
import { answered } from './answered.js';

export const lifecycle = (plugin) => ({
  install() {
    answered(() => plugin.turn('install'));
  },
  upgrade(from) {
    answered(() => plugin.turn('upgrade', from));
  },
  uninstall() {
    answered(() => plugin.turn('uninstall'));
  },
});
