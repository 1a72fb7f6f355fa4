// Scripts on nodes. Running takes the permission `jobs.run`, reading `jobs.read`; a plugin reads its own executions.
import { cancel as wireCancel, get as wireGet, output as wireOutput, results as wireResults, run as wireRun } from 'plenum:jobs/executions@0.1.0';
import { ask } from './error.js';
import { decodeText } from './text.js';

/** A script. */
export const Script = {
  sh: (content) => ({ language: 'sh', content }),
  bash: (content) => ({ language: 'bash', content }),
  python3: (content) => ({ language: 'python3', content }),
};

/** Where a script runs. */
export const Targets = {
  /** Records of a model that match a CEL expression; empty for all. */
  filter: (model, cel = '') => ({ filter: { model, cel } }),
  /** Nodes by id. */
  nodes: (ids) => ({ nodes: ids.map((id) => ({ node_id: id })) }),
  /** Records by model and id, `[['host', id]]`. */
  instances: (pairs) => ({ instances: pairs.map(([model, id]) => ({ model, id })) }),
};

/** Starts a script; it goes on after the call. The request is the JSON of the API: name, script, targets, args, env, user, cwd, timeout_s,
 * wait_s, concurrency, output_limit, key. */
export function run(request) {
  return ask(() => wireRun(JSON.stringify(request)));
}

/** One execution; null when there is none. */
export function get(id) {
  return ask(() => wireGet(id)) ?? null;
}

/** Results, a page of at most 500 nodes. */
export function results(id, cursor = null, limit = 500) {
  const found = ask(() => wireResults(id, cursor, limit));
  return { items: found.items, nextCursor: found.nextCursor ?? null };
}

/** All results, page by page. */
export function allResults(id) {
  const out = [];
  let cursor = null;
  do {
    const page = results(id, cursor);
    out.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return out;
}

/** Output ('stdout' or 'stderr') of one node from an offset, at most `limit` bytes (1 MiB). */
export function output(id, nodeId, stream = 'stdout', offset = 0, limit = 1 << 20) {
  return Uint8Array.from(ask(() => wireOutput(id, nodeId, stream, offset, limit)));
}

/** Output of one node from its start, at most `most` bytes; what is not UTF-8 is replaced. */
export function outputText(id, nodeId, stream = 'stdout', most = 1 << 20) {
  const parts = [];
  let size = 0;
  while (size < most) {
    const part = output(id, nodeId, stream, size, Math.min(most - size, 1 << 20));
    if (!part.length) break;
    parts.push(part);
    size += part.length;
  }
  const whole = new Uint8Array(size);
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return decodeText(whole);
}

/** Cancels what has not finished. */
export function cancel(id) {
  ask(() => wireCancel(id));
}
