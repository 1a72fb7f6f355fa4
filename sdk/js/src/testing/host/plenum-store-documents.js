// The fake's store.
import { encodeText } from '../../text.js';
import { filter } from '../cel.js';
import { allowed, copy, inOrder, objectOf, page, refuse, state } from '../state.js';

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
