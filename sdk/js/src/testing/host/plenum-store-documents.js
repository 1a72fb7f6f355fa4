// The fake's store.
import { encodeText } from '../../text.js';
import { filter } from '../cel.js';
import { allowed, copy, inOrder, objectOf, page, ranked, refuse, state } from '../state.js';

export function get(collection, id) {
  allowed('store');
  return copy(state.collections[collection]?.[id] ?? null);
}

export function apply(writes) {
  allowed('store');
  if (writes.length > 500) refuse(422, 'store.too_many', `at most 500 records are written at once, not ${writes.length}`);
  // All or none: a copy is changed, and kept when every write went well.
  const all = copy(state.collections);
  const versions = writes.map(({ collection, id, data, expected }) => {
    const size = encodeText(id).length;
    if (size < 1 || size > 200) refuse(422, 'store.invalid', "a record's id has 1 to 200 bytes");
    const records = (all[collection] ??= {});
    const there = records[id];
    const found = there?.version ?? 0;
    const wanted = { any: found, absent: 0, version: expected.val }[expected.tag];
    if (wanted !== found) refuse(409, 'store.conflict', `${collection}/${id} has version ${found} by now, not ${wanted}`);
    if (data === null) {
      delete records[id];
      return 0;
    }
    objectOf(data);
    records[id] = { id, version: found + 1, data, createdAt: there?.createdAt ?? state.now, updatedAt: state.now };
    return found + 1;
  });
  state.collections = all;
  return versions;
}

function matching(collection, text) {
  allowed('store');
  const matches = filter(text);
  const records = state.collections[collection] ?? {};
  return Object.keys(records).sort().map((id) => records[id]).filter((d) => matches(JSON.parse(d.data)));
}

export function queryDocuments(query) {
  const found = matching(query.collection, query.filter);
  return page(inOrder(found, query.sort, (d, f) => JSON.parse(d.data)[f]), query.cursor, query.limit);
}

export function count(collection, text) {
  return matching(collection, text).length;
}

// Times are UTC in RFC 3339: the start of the text is the span.
const SPANS = { minute: 16, hour: 13, day: 10, month: 7, year: 4 };

function of(d, name) {
  if (name === 'created_at' || name === 'updated_at') return new Date(name === 'created_at' ? d.createdAt : d.updatedAt).toISOString();
  return name === 'id' || name === 'version' ? d[name] : JSON.parse(d.data)[name] ?? null;
}

function measured({ kind, field }, members) {
  if (field === undefined) return members.length;
  const values = members.map((d) => of(d, field)).filter((v) => v !== null);
  if (kind === 'count') return values.length;
  if (!values.length) return null;
  if (kind === 'min' || kind === 'max') return values.sort(ranked).at(kind === 'min' ? 0 : -1);
  const sum = values.reduce((a, b) => a + b, 0);
  return kind === 'avg' ? sum / values.length : sum;
}

export function aggregate({ collection, filter: text, groups, measures, limit }) {
  if (groups.length > 8 || measures.length < 1 || measures.length > 16) refuse(422, 'store.query', 'an aggregation has up to 8 groups and 1 to 16 measures');
  for (const { kind, field } of measures) {
    if (kind !== 'count' && field === undefined) refuse(422, 'store.query', 'a sum, mean, least or greatest value is that of a field: name it');
  }
  const found = new Map(groups.length ? [] : [['[]', { keys: [], members: [] }]]);
  for (const d of matching(collection, text)) {
    const keys = groups.map(({ field, bucket }) => {
      const value = of(d, field);
      return bucket && typeof value === 'string' ? value.slice(0, SPANS[bucket]) : value;
    });
    const name = JSON.stringify(keys);
    if (!found.has(name)) found.set(name, { keys, members: [] });
    found.get(name).members.push(d);
  }
  // Those without a value last.
  const compare = (a, b) => (a === null) - (b === null) || ranked(a, b);
  const sorted = [...found.values()].sort((a, b) => a.keys.map((k, i) => compare(k, b.keys[i])).find((o) => o !== 0) ?? 0);
  const json = (values) => values.map((v) => JSON.stringify(v));
  return sorted.slice(0, Math.max(1, Math.min(limit, 1000))).map(({ keys, members }) => ({ keys: json(keys), values: json(measures.map((m) => measured(m, members))) }));
}
