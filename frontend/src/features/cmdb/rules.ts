/** What an attribute's kind and rules ask of a value. The host decides; this only says the plain cases before it is asked. */
import type { Attribute, AttributeKind } from '../../api/types';

/** In the order in which they are offered. */
export const KINDS: AttributeKind[] = ['text', 'long_text', 'integer', 'decimal', 'boolean', 'date', 'timestamp', 'enum', 'multi_enum', 'list', 'ip', 'cidr', 'mac', 'url', 'reference', 'references', 'user', 'users', 'table', 'json', 'secret'];

/** Texts of a form, with an example of it. */
export const FORMS: Partial<Record<AttributeKind, string>> = { ip: '10.1.0.7', cidr: '10.1.0.0/16', mac: '52:54:00:12:34:56', url: 'https://example.com/' };

const MANY = new Set<AttributeKind>(['list', 'table', 'json', 'multi_enum', 'references', 'users', 'secret']);

/** Whether it holds one value, which can be compared, sorted by and be part of a key. */
export function single(kind: AttributeKind): boolean {
  return !MANY.has(kind);
}

export const isText = (kind: AttributeKind) => kind === 'text' || kind === 'long_text';
export const isNumber = (kind: AttributeKind) => kind === 'integer' || kind === 'decimal';

function v4(text: string): number[] | null {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((p) => /^(0|[1-9]\d{0,2})$/.test(p) && Number(p) < 256) ? parts.map(Number) : null;
}

/** As eight groups of 16 bits. */
function v6(text: string): number[] | null {
  const last = text.slice(text.lastIndexOf(':') + 1);
  const tail = last.includes('.') ? v4(last) : null;
  if (last.includes('.')) {
    if (!tail) return null;
    const [a = 0, b = 0, c = 0, d = 0] = tail;
    text = `${text.slice(0, -last.length)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  }
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const [head = [], rest = []] = halves.map((h) => (h ? h.split(':') : []));
  const groups = head.length + rest.length;
  if (halves.length === 2 ? groups > 7 : groups !== 8) return null;
  if (![...head, ...rest].every((g) => /^[0-9a-f]{1,4}$/i.test(g))) return null;
  return [...head, ...Array<string>(8 - groups).fill('0'), ...rest].map((g) => parseInt(g, 16));
}

/** Whether a text has the form of its kind; kinds without one take any. */
export function formed(kind: AttributeKind, text: string): boolean {
  switch (kind) {
    case 'ip':
      return Boolean(v4(text) ?? v6(text));
    case 'cidr': {
      const [, address = '', prefix = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
      const four = v4(address);
      const groups = four ?? v6(address);
      if (!groups) return false;
      const width = four ? 8 : 16;
      const bits = Number(prefix);
      // No bits behind the prefix.
      return bits <= groups.length * width && groups.every((g, i) => (g & ((1 << Math.min(width, Math.max(0, width * (i + 1) - bits))) - 1)) === 0);
    }
    case 'mac':
      return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text);
    case 'url':
      return /^https?:\/\/[^/\s]\S*$/.test(text) && text.length <= 2048;
    default:
      return true;
  }
}

export type Wrong = { what: 'form'; n: string } | { what: 'tooSmall' | 'tooLarge' | 'tooShort' | 'tooLong'; n: number };

/**
 * What is wrong with what a person entered, or null. Not the pattern: its language is the host's, where it ends in time for
 * any text; here one could stop the page.
 */
export function wrong(a: Attribute, value: unknown): Wrong | null {
  if (value === undefined || value === null || value === '') return null;
  if (typeof value === 'string' && FORMS[a.kind]) return formed(a.kind, value.trim()) ? null : { what: 'form', n: FORMS[a.kind] ?? '' };
  const text = isText(a.kind) && typeof value === 'string';
  const n = text ? [...value].length : isNumber(a.kind) && typeof value === 'number' ? value : null;
  if (n === null) return null;
  if (typeof a.min === 'number' && n < a.min) return { what: text ? 'tooShort' : 'tooSmall', n: a.min };
  if (typeof a.max === 'number' && n > a.max) return { what: text ? 'tooLong' : 'tooLarge', n: a.max };
  return null;
}
