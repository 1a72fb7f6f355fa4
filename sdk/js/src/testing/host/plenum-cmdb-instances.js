// The fake's CMDB.
import { filter } from '../cel.js';
import { allowed, copy, gone, inOrder, nextId, objectOf, page, refuse, state } from '../state.js';

const wire = (i) => ({ ...copy(i), attributes: JSON.stringify(i.attributes) });
const find = (model, id) => state.instances.find((i) => i.model === model && i.id === id);

export function newInstance(model, attributes) {
  const label = [attributes.hostname, attributes.name].find((v) => typeof v === 'string') ?? '';
  const made = { id: nextId(model), model, label, version: 1, attributes, createdAt: state.now, updatedAt: state.now };
  state.instances.push(made);
  return made;
}

export function queryInstances(query) {
  const matches = filter(query.filter);
  const found = allowed('cmdb.read').instances.filter((i) => i.model === query.model && matches(i.attributes));
  const some = page(inOrder(found, query.sort, (i, f) => i.attributes[f]), query.cursor, query.limit);
  return { ...some, items: some.items.map(wire) };
}

export function get(model, id) {
  allowed('cmdb.read');
  const found = find(model, id);
  return found ? wire(found) : null;
}

export function create(model, attributes) {
  allowed('cmdb.write');
  return wire(newInstance(model, objectOf(attributes)));
}

export function update(model, id, patch, version) {
  allowed('cmdb.write');
  const found = find(model, id) ?? gone(model, id);
  if (version !== null && version !== found.version) refuse(409, 'store.conflict', `${model}/${id} has version ${found.version} by now`);
  for (const [key, value] of Object.entries(objectOf(patch))) {
    if (value === null) delete found.attributes[key];
    else found.attributes[key] = value;
  }
  found.version += 1;
  found.updatedAt = state.now;
  return wire(found);
}

function remove(model, id) {
  allowed('cmdb.write');
  if (!find(model, id)) gone(model, id);
  state.instances = state.instances.filter((i) => i.model !== model || i.id !== id);
  const is = (m, i) => m === model && i === id;
  state.related = state.related.filter(({ of, related }) => !is(...of) && !is(related.model, related.id));
}
export { remove as delete };

export function relatedInstances(model, id) {
  return allowed('cmdb.read').related.filter(({ of }) => of[0] === model && of[1] === id).map(({ related }) => copy(related));
}
