// The plugin's own figures, shown on its page in the portal and at the host for Prometheus, as `plenum_plugin_<name>`. Need no permission.
import { add as wireAdd, observe as wireObserve, set as wireSet } from 'plenum:metrics/figures@0.3.0';
import { ask } from './error.js';

const pairs = (labels) => Object.entries(labels).map(([name, value]) => [name, String(value)]);

/** Adds to a counter: what only grows. */
export const add = (name, by = 1, labels = {}) => ask(() => wireAdd(name, pairs(labels), by));
/** Sets a gauge: what goes up and down. */
export const set = (name, value, labels = {}) => ask(() => wireSet(name, pairs(labels), value));
/** Puts a value into a histogram: a duration in seconds, say. */
export const observe = (name, value, labels = {}) => ask(() => wireObserve(name, pairs(labels), value));
