// What nobody can guess. Needs no permission.
import { getRandomBytes } from 'wasi:random/random@0.2.0';

/** So many bytes. */
export function bytes(count) {
  return Uint8Array.from(getRandomBytes(count));
}

/** An id of 32 hexadecimal digits. */
export function id() {
  return Array.from(getRandomBytes(16), (b) => b.toString(16).padStart(2, '0')).join('');
}
