// The fake's keys and values.
import { encodeText } from '../../text.js';
import { state } from '../state.js';

/** As the host refuses: a variant. */
export const refuse = (message) => {
  throw { tag: 'other', val: message };
};

export function permitted() {
  if (state.denied.has('store')) throw { tag: 'access-denied' };
}

export function check(keys) {
  permitted();
  if (keys.length > 500) refuse('at most 500 keys at once');
  for (const key of keys) {
    const size = encodeText(key).length;
    if (size < 1 || size > 120 || key.includes('\0')) refuse('a key has 1 to 120 bytes, none of them NUL');
  }
}

class Bucket {
  constructor(values) {
    this.values = values;
  }

  get(key) {
    check([key]);
    return this.values.get(key);
  }

  set(key, value) {
    check([key]);
    if (value.length > 700 << 10) refuse(`the value of ${key} has ${value.length} bytes; a value has at most ${700 << 10}`);
    this.values.set(key, Uint8Array.from(value));
  }

  delete(key) {
    check([key]);
    this.values.delete(key);
  }

  exists(key) {
    check([key]);
    return this.values.has(key);
  }

  listKeys(cursor) {
    permitted();
    const skip = Number(cursor ?? 0);
    const keys = [...this.values.keys()].sort().slice(skip, skip + 1000);
    return { keys, cursor: keys.length === 1000 ? skip + 1000 : undefined };
  }
}

export function open(name) {
  permitted();
  if (!/^[a-z0-9_-]{0,60}$/.test(name)) throw { tag: 'no-such-store' };
  return new Bucket((state.keyvalue[name] ??= new Map()));
}
