// All that the fake platform knows.
import { setClock } from '../native.js';

// 2026-01-01T00:00:00Z. A fixed time: tests that depend on the day they run on fail on some other day.
const START = 1_767_225_600_000;

const empty = () => ({
  now: START,
  ids: 0,
  user: { id: 'user-1', name: 'alice', role: 'operator' },
  key: null,
  settings: {},
  denied: new Set(),
  instances: [],
  related: [],
  collections: {},
  keyvalue: {},
  secrets: {},
  onCall: null,
  calls: [],
  onRequest: null,
  outgoing: [],
  jobs: [],
  requests: [],
  executions: [],
  runs: [],
  schedules: {},
  nextTimes: [],
  events: [],
  log: [],
  figures: [],
  notifications: [],
});

/** Of the fake that is there. */
export let state = empty();
setClock(() => state.now);

/** For a new fake. */
export function reset() {
  state = empty();
}

/** The next id; never twice the same, and the same in every run of a test. */
export function nextId(kind) {
  state.ids += 1;
  return `${kind}-${state.ids}`;
}

export const copy = (value) => structuredClone(value);

/** As the host refuses: a plain object. */
export function refuse(status, code, message) {
  throw { status, code, message };
}

/** What lacks the permission is refused. */
export function allowed(permission) {
  if (state.denied.has(permission)) refuse(403, 'access.denied', `the permission ${permission} is missing`);
  return state;
}

export function gone(what, id) {
  refuse(404, 'not_found', `there is no ${what} ${JSON.stringify(id)}`);
}

export function page(items, cursor, limit, most = 1000) {
  if (cursor !== null && cursor !== undefined && !/^\d+$/.test(cursor)) refuse(400, 'request.cursor', 'the cursor is not one of these pages');
  const at = Number(cursor ?? 0);
  const size = Math.max(1, Math.min(limit, most));
  return { items: copy(items.slice(at, at + size)), nextCursor: at + size < items.length ? String(at + size) : null, total: items.length };
}

export function objectOf(text) {
  const value = JSON.parse(text);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) refuse(422, 'request.object', 'this must be a JSON object');
  return value;
}

const rank = (v) => (v === null || v === undefined ? 0 : { boolean: 1, number: 2, string: 3 }[typeof v] ?? 4);

/** The order of two JSON values. */
export function ranked(x, y) {
  if (rank(x) !== rank(y)) return rank(x) - rank(y);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** By one field, a leading `-` downwards; records without it come first. */
export function inOrder(items, sort, field) {
  const name = sort.replace(/^-/, '');
  if (!name) return items;
  const compare = (a, b) => ranked(field(a, name), field(b, name));
  const sign = sort.startsWith('-') ? -1 : 1;
  return [...items].sort((a, b) => sign * compare(a, b));
}
