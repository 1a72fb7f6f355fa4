// The CMDB, as far as the plugin's grant and the user it acts for both reach. Reading takes the permission `cmdb.read`, writing
// `cmdb.write`.
import { create as wireCreate, delete as wireDelete, get as wireGet, queryInstances as wireQueryInstances, relatedInstances as wireRelatedInstances, update as wireUpdate } from 'plenum:cmdb/instances@0.1.0';
import { ask } from './error.js';

const instance = (i) => ({ ...i, attributes: JSON.parse(i.attributes) });

class Query {
  constructor(model, { filter = '', sort = '', cursor = null, limit = 200 } = {}) {
    this.request = { model, filter, sort, cursor, limit };
  }

  /** One page. */
  page() {
    return page(this.request);
  }

  /** All that match, page by page. Mind the memory limit of a call. */
  all() {
    const out = [];
    let cursor = this.request.cursor;
    do {
      const found = page({ ...this.request, limit: 1000, cursor });
      out.push(...found.items);
      cursor = found.nextCursor;
    } while (cursor !== null);
    return out;
  }

  /** How many match. */
  count() {
    return page({ ...this.request, limit: 1 }).total;
  }
}

function page(request) {
  const found = ask(() => wireQueryInstances(request));
  return { items: found.items.map(instance), nextCursor: found.nextCursor ?? null, total: Number(found.total) };
}

/** Records of a model: `.page()`, `.all()`, `.count()`. */
export function query(model, options) {
  return new Query(model, options);
}

/** One record; null when there is none. */
export function get(model, id) {
  const found = ask(() => wireGet(model, id));
  return found ? instance(found) : null;
}

/** Makes a record. `why` goes into its history. */
export function create(model, attributes, why = null) {
  return instance(ask(() => wireCreate(model, JSON.stringify(attributes), why)));
}

/** Changes a record: nulls of `patch` remove attributes. With a version, only if that is still the record's. */
export function update(model, id, patch, { version = null, why = null } = {}) {
  return instance(ask(() => wireUpdate(model, id, JSON.stringify(patch), version, why)));
}

/** Deletes a record and its links. */
export function remove(model, id) {
  ask(() => wireDelete(model, id));
}

/** What a record is linked with, both ways. */
export function related(model, id) {
  return ask(() => wireRelatedInstances(model, id));
}
