// Values that somebody typed, as literals of CEL.

/** Writes a value as a CEL literal, for filters: never paste what somebody typed. */
export function cel(value) {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (Array.isArray(value)) return `[${value.map(cel).join(', ')}]`;
  throw new TypeError(`${typeof value === 'object' ? 'an object' : String(value)} has no CEL literal; use text, numbers, booleans, null and lists of these`);
}
