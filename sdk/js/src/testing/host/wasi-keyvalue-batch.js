// The fake's many keys at once.
import { check } from './wasi-keyvalue-store.js';

export function getMany(bucket, keys) {
  check(keys);
  return keys.map((key) => (bucket.exists(key) ? [key, bucket.get(key)] : undefined));
}

export function setMany(bucket, values) {
  check(values.map(([key]) => key));
  for (const [key, value] of values) bucket.set(key, value);
}

export function deleteMany(bucket, keys) {
  check(keys);
  for (const key of keys) bucket.delete(key);
}
