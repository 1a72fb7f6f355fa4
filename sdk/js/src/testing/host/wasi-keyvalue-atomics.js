// The fake's counting.
import { decodeText, encodeText } from '../../text.js';
import { refuse } from './wasi-keyvalue-store.js';

export function increment(bucket, key, delta) {
  const found = bucket.get(key);
  const now = found ? decodeText(found) : '0';
  if (!/^\d+$/.test(now)) refuse(`the value of ${key} is no number`);
  const sum = Number(now) + delta;
  bucket.set(key, encodeText(String(sum)));
  return sum;
}
