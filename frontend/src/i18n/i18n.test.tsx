import { describe, expect, it } from 'vitest';
import { localized, translate } from '.';
import { en } from './en';
import { zh } from './zh';

const holes = (s: string) => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

describe('catalogs', () => {
  it('have the same keys', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  });

  it('have the same placeholders and no empty text', () => {
    for (const key of Object.keys(en) as (keyof typeof en)[]) {
      expect(holes(zh[key]), key).toEqual(holes(en[key]));
      expect(zh[key].trim() && en[key].trim(), key).toBeTruthy();
    }
  });

  it('are written in their own language', () => {
    for (const [key, text] of Object.entries(en)) expect(/[\u4e00-\u9fff]/.test(text), key).toBe(false);
    // Names and abbreviations stay as they are.
    const same = Object.entries(zh).filter(([, text]) => !/[\u4e00-\u9fff]/.test(text));
    expect(same.map(([key]) => key)).toEqual(['kind.json']);
  });
});

describe('texts', () => {
  it('fills placeholders and leaves unknown ones', () => {
    expect(translate('en', 'list.shownOf', { n: 3, total: 9 })).toBe('3 of 9');
    expect(translate('zh', 'list.shownOf', { n: 3 })).toBe('3 / 共 {total} 条');
  });

  it('takes the reader’s language, else English, else any', () => {
    expect(localized('zh', { en: 'Host', zh: '主机' })).toBe('主机');
    expect(localized('zh', { en: 'Host' })).toBe('Host');
    expect(localized('en', { de: 'Rechner' })).toBe('Rechner');
    expect(localized('en', 'plain')).toBe('plain');
    expect(localized('en', null)).toBe('');
  });
});
