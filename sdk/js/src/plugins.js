// Actions of other plugins. Takes the permission `plugins.use`, scoped by `actions`: `tls-watch.check`, `tls-watch.*`.
//
//   plugins.call('tls-watch', 'check', { port: 443 });
import { call as wireCall } from 'plenum:plugin/calls@0.1.0';
import { ask } from './error.js';

/** Carries out an action of another plugin, which acts within its own grant and for the same person. Calls that call go four deep. */
export const call = (plugin, action, input) => JSON.parse(ask(() => wireCall(plugin, action, JSON.stringify(input))));
