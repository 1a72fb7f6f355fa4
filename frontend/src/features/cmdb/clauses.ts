/** A CEL filter as a list of conditions that all hold, so that values can be ticked into it and out of it again. */

export type FacetScalar = string | number | boolean | null;

/** The parts of a filter between its outermost `&&`; the whole when an outermost `||` joins it. */
export function splitClauses(filter: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  let quote = '';
  for (let i = 0; i < filter.length; i++) {
    const c = filter[i] ?? '';
    if (quote) {
      if (c === '\\') i++;
      else if (c === quote) quote = '';
    } else if (c === '"' || c === "'") quote = c;
    else if (c === '(' || c === '[' || c === '{') depth++;
    else if (c === ')' || c === ']' || c === '}') depth--;
    else if (depth === 0 && filter.startsWith('||', i)) return [`(${filter.trim()})`];
    else if (depth === 0 && filter.startsWith('&&', i)) {
      parts.push(filter.slice(from, i).trim());
      i++;
      from = i + 1;
    }
  }
  parts.push(filter.slice(from).trim());
  return parts.filter((p) => p !== '');
}

export function literal(v: FacetScalar): string {
  return JSON.stringify(v);
}

/** The values that a condition of ours lets through; null when it is another condition, or one of another field. */
function valuesOf(clause: string, field: string): FacetScalar[] | null {
  const one = new RegExp(`^${field} == (.+)$`, 's').exec(clause);
  const many = new RegExp(`^${field} in (\\[.*\\])$`, 's').exec(clause);
  try {
    if (many?.[1]) {
      const v: unknown = JSON.parse(many[1]);
      return Array.isArray(v) ? (v as FacetScalar[]) : null;
    }
    if (one?.[1]) {
      const v: unknown = JSON.parse(one[1]);
      return v === null || typeof v !== 'object' ? [v as FacetScalar] : null;
    }
  } catch {
    // Another expression than ours.
  }
  return null;
}

/** The ticked values of a field. */
export function ticked(filter: string, field: string): FacetScalar[] {
  return splitClauses(filter).flatMap((c) => valuesOf(c, field) ?? []);
}

/** The filter without what is ticked of a field: its other values are counted by that. */
export function without(filter: string, field: string): string {
  return splitClauses(filter)
    .filter((c) => valuesOf(c, field) === null)
    .join(' && ');
}

/** The filter with a value ticked that was not, or no longer ticked. */
export function toggle(filter: string, field: string, value: FacetScalar): string {
  const now = ticked(filter, field);
  const next = now.includes(value) ? now.filter((v) => v !== value) : [...now, value];
  const rest = without(filter, field);
  const clause = next.length === 0 ? '' : next.length === 1 ? `${field} == ${literal(next[0] ?? null)}` : `${field} in [${next.map(literal).join(', ')}]`;
  return [rest, clause].filter((c) => c !== '').join(' && ');
}
