// The fake's jobs.
import { allowed, copy, gone, nextId, page, refuse, state } from '../state.js';

export function run(text) {
  allowed('jobs.run');
  const request = JSON.parse(text);
  const key = request.key ?? null;
  const there = key !== null && state.executions.find((e) => e.key === key);
  if (there) return copy(there.execution);
  const job = state.jobs.shift();
  if (!job) refuse(422, 'jobs.no_targets', `no job was expected, and ${JSON.stringify(request.name)} was asked for; say what it does with fake.job`);
  const good = job.results.filter((r) => r.result.status === 'succeeded').length;
  const bad = job.results.length - good;
  const status = bad === 0 ? 'succeeded' : good ? 'partial' : 'failed';
  const counts = { total: good + bad, pending: 0, running: 0, succeeded: good, failed: bad };
  const execution = { id: nextId('execution'), name: request.name, status, ...counts, createdAt: state.now, finishedAt: state.now };
  state.requests.push(request);
  state.executions.push({ execution, key, results: job.results });
  return copy(execution);
}

const executed = (id, permission) => allowed(permission).executions.find((e) => e.execution.id === id);

export function get(id) {
  const found = executed(id, 'jobs.read');
  return found ? copy(found.execution) : null;
}

export function results(id, cursor, limit) {
  const found = executed(id, 'jobs.read') ?? gone('execution', id);
  const { items, nextCursor } = page(found.results.map((r) => r.result), cursor, limit, 500);
  return { items, nextCursor };
}

export function output(id, nodeId, stream, offset, limit) {
  const found = (executed(id, 'jobs.read') ?? gone('execution', id)).results.find((r) => r.result.nodeId === nodeId) ?? gone('node', nodeId);
  return (stream === 'stdout' ? found.out : found.err).slice(offset, offset + Math.max(1, Math.min(limit, 1 << 20)));
}

export function cancel(id) {
  (executed(id, 'jobs.run') ?? gone('execution', id)).execution.status = 'cancelled';
}
