// Not random at all, but never twice the same: tests are to be repeatable.
import { state } from '../state.js';

export function getRandomBytes(count) {
  state.ids += 1;
  const out = new Uint8Array(count);
  let rest = state.ids;
  for (let at = count - 1; at >= 0 && rest > 0; at -= 1) {
    out[at] = rest & 255;
    rest >>>= 8;
  }
  return out;
}
