// What QuickJS lacks of what code written for browsers and Node.js takes for granted. Loaded first in a component, never in a test.
import { getRandomBytes } from 'wasi:random/random@0.2.0';
import * as log from './log.js';
import { decodeText, encodeText } from './text.js';

globalThis.TextEncoder ??= class TextEncoder {
  encoding = 'utf-8';
  encode(text = '') {
    return encodeText(text);
  }
};

globalThis.TextDecoder ??= class TextDecoder {
  encoding = 'utf-8';
  decode(bytes = new Uint8Array()) {
    return decodeText(ArrayBuffer.isView(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes));
  }
};

const shown = (value) => {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
};
const writer = (write) => (...values) => write(values.map(shown).join(' '));
globalThis.console ??= {
  log: writer(log.info),
  info: writer(log.info),
  debug: writer(log.debug),
  trace: writer(log.debug),
  warn: writer(log.warn),
  error: writer(log.error),
};

// QuickJS seeds Math.random once, when the component is built: every instance would draw the same numbers. xoshiro128**, seeded from the
// host at the first draw of an instance.
let state = null;
const rotate = (x, k) => (x << k) | (x >>> (32 - k));
const next = () => {
  if (!state) {
    const b = getRandomBytes(16);
    state = [0, 4, 8, 12].map((i) => b[i] | (b[i + 1] << 8) | (b[i + 2] << 16) | (b[i + 3] << 24));
  }
  const s = state;
  const result = Math.imul(rotate(Math.imul(s[1], 5), 7), 9) >>> 0;
  const t = s[1] << 9;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 11);
  return result;
};
Math.random = () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;

/** For the guest: what was drawn while the component was built must not be drawn again by every instance. */
export function reseed() {
  state = null;
}

globalThis.crypto ??= {
  getRandomValues(array) {
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(getRandomBytes(array.byteLength));
    return array;
  },
  randomUUID() {
    const b = Uint8Array.from(getRandomBytes(16));
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
};
