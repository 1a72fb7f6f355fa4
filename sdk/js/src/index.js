// What a Plenum plugin in JavaScript or TypeScript is written with.
//
//   import { Router, cmdb, definePlugin } from '@plenum/sdk';
//
//   const router = new Router().get('/count', () => ({ debian: cmdb.query('host', { filter: 'os_id == "debian"' }).count() }));
//   export default definePlugin({ http: router });
//
// Every interface of the platform is a namespace: cmdb, store, keyvalue, jobs, workflow, events, notify, metrics, plugins, outgoing, log, context, clock, random.
// The component imports the functions that the code reaches, and no others.
export * as clock from './clock.js';
export * as cmdb from './cmdb.js';
export * as context from './context.js';
export * as events from './events.js';
export * as jobs from './jobs.js';
export * as keyvalue from './keyvalue.js';
export * as log from './log.js';
export * as metrics from './metrics.js';
export * as notify from './notify.js';
export * as outgoing from './outgoing.js';
export * as plugins from './plugins.js';
export * as random from './random.js';
export * as store from './store.js';
export * as workflow from './workflow.js';
export { cel } from './cel.js';
export { PlenumError } from './error.js';
export { Request, Response, Router } from './http.js';
export { definePlugin } from './plugin.js';
