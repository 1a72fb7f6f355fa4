/** What is wrong with a row of a file, in the reader's language. The host says it in English; what it may say of a value is known here, anything else stays as it is. */
import type { Attribute, RowAnswer } from '../../api/types';
import type { Key, T } from '../../i18n';

/** What a value has to be, as the host says it after "has to be". */
const NEEDS: [RegExp, Key][] = [
  [/^a whole number$/, 'row.integer'],
  [/^a number(, with a point for decimals)?$/, 'row.number'],
  [/^true or false$/, 'row.boolean'],
  [/^a time such as (\S+)$/, 'row.time'],
  [/^a date such as (\S+)$/, 'row.date'],
  [/^JSON$/, 'row.json'],
  [/^text$/, 'row.text'],
  [/^text that matches (.+)$/s, 'row.pattern'],
  [/^at least (\S+) characters$/, 'row.shortest'],
  [/^at most (\S+) characters$/, 'row.longest'],
  [/^at least (\S+)$/, 'row.least'],
  [/^at most (\S+)$/, 'row.most'],
  [/^an IP address\b.*$/, 'row.ip'],
  [/^a network\b.*$/, 'row.cidr'],
  [/^a MAC address\b.*$/, 'row.mac'],
  [/^an address that begins with http:\/\/ or https:\/\/$/, 'row.url'],
  [/^one of (.+)$/, 'row.enum'],
  [/^a list of some of (.+)$/, 'row.enums'],
  [/^a list of (?:at most 1,000 )?texts$/, 'row.list'],
];

/** Whole sentences. */
const SENTENCES: [RegExp, Key][] = [
  [/^\S+ is in the key, so the row needs it$/, 'row.key'],
  [/^\S+ is required$/, 'row.required'],
  [/^the row has (\d+) cells, and the first line (\d+)$/, 'row.cells'],
  [/^\S+ is written by discovery and cannot be changed by hand$/, 'row.discovery'],
  [/^there is no \S+ (\S+); it may have been deleted$/, 'row.gone'],
];

export function rowProblem(r: Pick<RowAnswer, 'attribute' | 'detail'>, attribute: Attribute | undefined, t: T, title: string): string {
  const detail = r.detail ?? '';
  for (const [form, key] of SENTENCES) {
    const found = form.exec(detail);
    if (found) return t(key, { name: title, a: found[1] ?? '', b: found[2] ?? '' });
  }
  const [, said] = attribute && detail.startsWith(`${attribute.name} has to be `) ? [0, detail.slice(attribute.name.length + ' has to be '.length)] : [];
  if (said === undefined) return detail;
  const [, need = said, is] = /^(.*), and is ("(?:.*)")$/s.exec(said) ?? [];
  for (const [form, key] of NEEDS) {
    const found = form.exec(need);
    if (found) return t('row.hasToBe', { name: title, what: t(key, { a: found[1] ?? '' }) }) + (is ? t('row.is', { value: is }) : '');
  }
  return detail;
}
