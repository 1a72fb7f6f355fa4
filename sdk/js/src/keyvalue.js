// Values by key, in buckets of the plugin's own: what needs no fields and no filter. Takes the permission `store`; the values count towards
// its storage.
//
//   const seen = keyvalue.open('seen');
//   seen.set('web1', '2026-01-31');
//   seen.increment('visits', 2);
import { increment as wireIncrement } from 'wasi:keyvalue/atomics@0.2.0-draft';
import { deleteMany as wireDeleteMany, getMany as wireGetMany, setMany as wireSetMany } from 'wasi:keyvalue/batch@0.2.0-draft';
import { open as wireOpen } from 'wasi:keyvalue/store@0.2.0-draft';
import { PlenumError } from './error.js';
import { decodeText, encodeText } from './text.js';

/** Calls the host; the errors of `wasi:keyvalue` become a PlenumError. */
function ask(call) {
  try {
    return call();
  } catch (e) {
    const of = e?.payload ?? e;
    switch (of?.tag) {
      case 'no-such-store':
        throw new PlenumError(422, 'keyvalue.bucket', "a bucket's name has 0 to 60 of a-z, 0-9, hyphen and underscore");
      case 'access-denied':
        throw PlenumError.forbidden('access.denied', 'the permission store was not granted');
      case 'other':
        throw new PlenumError(422, 'keyvalue.refused', of.val);
      default:
        throw e;
    }
  }
}

const bytes = (value) => (typeof value === 'string' ? encodeText(value) : value);

/** A bucket by name: 0 to 60 of a-z, 0-9, hyphen and underscore. It is there as soon as something is in it. */
export const open = (name) => new Bucket(name);

/** Values by key. A key has 1 to 120 bytes, a value at most 700 KiB; at most 500 keys at once. */
export class Bucket {
  #bucket;

  constructor(name) {
    this.name = name;
    this.#bucket = ask(() => wireOpen(name));
  }

  /** The value of a key, a Uint8Array; null when it has none. */
  get(key) {
    return ask(() => this.#bucket.get(key)) ?? null;
  }

  /** The same, as text. */
  text(key) {
    const found = this.get(key);
    return found === null ? null : decodeText(found);
  }

  /** The same, from JSON. */
  json(key) {
    const found = this.text(key);
    try {
      return found === null ? null : JSON.parse(found);
    } catch (e) {
      throw PlenumError.internal('keyvalue.json', `the value of ${key} is not as the plugin expects: ${e.message}`);
    }
  }

  /** Sets the value of a key: bytes, or text as UTF-8. */
  set(key, value) {
    ask(() => this.#bucket.set(key, bytes(value)));
  }

  /** Sets the value of a key, as JSON. */
  setJson(key, value) {
    this.set(key, JSON.stringify(value));
  }

  /** Removes a key; none there is fine. */
  delete(key) {
    ask(() => this.#bucket.delete(key));
  }

  /** Whether a key has a value. */
  exists(key) {
    return ask(() => this.#bucket.exists(key));
  }

  /** All keys, in their order. */
  keys() {
    const out = [];
    let cursor;
    do {
      const page = ask(() => this.#bucket.listKeys(cursor));
      out.push(...page.keys);
      cursor = page.cursor ?? undefined;
    } while (cursor !== undefined);
    return out;
  }

  /** Adds to the number at a key, which counts as 0 without a value; of many at once, none is lost. Answers the new number. */
  increment(key, by = 1) {
    return Number(ask(() => wireIncrement(this.#bucket, key, by)));
  }

  /** Values of keys, in their order; null for a key without. */
  getMany(keys) {
    return ask(() => wireGetMany(this.#bucket, [...keys])).map((found) => (found ? found[1] : null));
  }

  /** Sets values by key, all or none. */
  setMany(values) {
    ask(() => wireSetMany(this.#bucket, Object.entries(values).map(([key, value]) => [key, bytes(value)])));
  }

  /** Removes keys, all or none. */
  deleteMany(keys) {
    ask(() => wireDeleteMany(this.#bucket, [...keys]));
  }
}
