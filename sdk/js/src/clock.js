// The time, in milliseconds since 1970 UTC. Needs no permission.
import { clockNow } from './native.js';

/** Now. In a native test it stands still until `fake.advance`. */
export function now() {
  return clockNow();
}

/** A time as RFC 3339. */
export function iso(ms) {
  return new Date(ms).toISOString();
}
