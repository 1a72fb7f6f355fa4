// The fake's runs of workflows.
import { allowed, copy, gone, nextId, state } from '../state.js';

export function start(workflow, input, key) {
  allowed('workflow.run');
  let there = key !== null && state.runs.find((r) => r.key === key && r.run.workflow === workflow);
  if (!there) {
    const run = { id: nextId('run'), workflow, status: 'running', input, output: null, error: null, waiting: null, startedAt: state.now, finishedAt: null };
    there = { key, run };
    state.runs.push(there);
  }
  return copy(there.run);
}

const find = (id) => state.runs.find((r) => r.run.id === id)?.run;

export function get(id) {
  const found = find(id);
  return found ? copy(found) : null;
}

export function cancel(id) {
  allowed('workflow.run');
  Object.assign(find(id) ?? gone('run', id), { status: 'cancelled', finishedAt: state.now });
}
