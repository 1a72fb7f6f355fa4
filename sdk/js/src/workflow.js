// Runs of workflows: the plugin's own, and those that its permission `workflow.run` names. And the plugin's schedules.
import { cancel as wireCancel, get as wireGet, start as wireStart } from 'plenum:workflow/runs@0.1.0';
import { ask } from './error.js';

export * as schedules from './schedules.js';

const json = (text) => (text === null || text === undefined ? null : JSON.parse(text));
const run = (r) => ({ ...r, input: json(r.input), output: json(r.output) });

/** Starts a workflow. Asked again with the same key, answers the run that is there. */
export function start(workflow, input, key = null) {
  return run(ask(() => wireStart(workflow, JSON.stringify(input), key)));
}

/** One run; null when there is none. */
export function get(id) {
  const found = ask(() => wireGet(id));
  return found ? run(found) : null;
}

/** Whether a run will not change any more. */
export function finished(found) {
  return ['succeeded', 'failed', 'cancelled'].includes(found.status);
}

/** Cancels a run. */
export function cancel(id) {
  ask(() => wireCancel(id));
}
