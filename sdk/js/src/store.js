// The plugin's own records, in the collections that its manifest declares. Takes the permission `store`.
import { aggregate as wireAggregate, apply as wireApply, count as wireCount, get as wireGet, queryDocuments as wireQueryDocuments } from 'plenum:store/documents@0.1.0';
import { PlenumError, ask } from './error.js';

const document = (d) => ({ ...d, data: JSON.parse(d.data) });

/** Writes in any case. */
export const ANY = 'any';
/** The record must not be there. Any number in its place: the record must have that version. */
export const ABSENT = 'absent';

/** A collection, by its name in the manifest. */
export class Collection {
  constructor(name) {
    this.name = name;
  }

  /** One record; null when there is none. */
  get(id) {
    const found = ask(() => wireGet(this.name, id));
    return found ? document(found) : null;
  }

  /** One record; an error with status 404 when there is none. */
  require(id) {
    const found = this.get(id);
    if (!found) throw PlenumError.notFound('store.not_found', `there is no record ${JSON.stringify(id)} in ${this.name}; it may have been deleted`);
    return found;
  }

  /** Writes a record, whether it is there or not. Answers its version. */
  put(id, data) {
    return new Batch().write(this, id, data).apply()[0];
  }

  /** Writes a new record; a conflict (409) when its id is taken. */
  insert(id, data) {
    return new Batch().write(this, id, data, ABSENT).apply()[0];
  }

  /** Writes a record that must still have this version; a conflict (409) when it was changed meanwhile. */
  replace(id, version, data) {
    return new Batch().write(this, id, data, version).apply()[0];
  }

  /** Deletes a record; none there is fine. */
  delete(id) {
    new Batch().delete(this, id).apply();
  }

  /** Counts, sums, means, least and greatest values, computed where the records are: groups { keys, values } in the order of their values.
   *
   *   VISITS.aggregate(['count', ['avg', 'ms']], { by: ['page', ['at', 'day']], filter: 'ms > 0' });
   *
   * A measure is 'count', or [kind, field] with count, sum, avg, min, max: 1 to 16. A group is a field, or [field, span] for a time, with
   * minute, hour, day, month, year in UTC: up to 8; without any, all records are one group. */
  aggregate(measures, { by = [], filter = '', limit = 1000 } = {}) {
    const pair = (of) => (Array.isArray(of) ? of : [of, undefined]);
    const request = {
      collection: this.name,
      filter,
      groups: by.map(pair).map(([field, bucket]) => ({ field, bucket })),
      measures: measures.map(pair).map(([kind, field]) => ({ kind, field })),
      limit,
    };
    const values = (texts) => texts.map((t) => JSON.parse(t));
    return ask(() => wireAggregate(request)).map((g) => ({ keys: values(g.keys), values: values(g.values) }));
  }

  /** Which records, in which order: `.page()`, `.all()`, `.count()`. */
  query(options) {
    return new Query(this.name, options);
  }
}

class Query {
  constructor(collection, { filter = '', sort = '', cursor = null, limit = 200 } = {}) {
    this.request = { collection, filter, sort, cursor, limit };
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
    return Number(ask(() => wireCount(this.request.collection, this.request.filter)));
  }
}

function page(request) {
  const found = ask(() => wireQueryDocuments(request));
  return { items: found.items.map(document), nextCursor: found.nextCursor ?? null, total: Number(found.total) };
}

/** Writes that happen all or not at all: at most 500, over any collections. */
export class Batch {
  constructor() {
    this.writes = [];
  }

  /** Adds a write. `expected` is ANY, ABSENT or a version. */
  write(to, id, data, expected = ANY) {
    const expectation = typeof expected === 'number' ? { tag: 'version', val: expected } : { tag: expected };
    this.writes.push({ collection: to.name, id, data: JSON.stringify(data), expected: expectation });
    return this;
  }

  /** Adds a deletion. */
  delete(from, id) {
    this.writes.push({ collection: from.name, id, data: null, expected: { tag: ANY } });
    return this;
  }

  /** Writes. Answers the new versions in order, 0 for a deletion. */
  apply() {
    return ask(() => wireApply(this.writes)).map(Number);
  }
}
