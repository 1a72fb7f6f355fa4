import { describe, expect, it } from 'vitest';
import { languageTag, localized, translate } from '.';
import { who } from '../components/base';
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

  it('names who did it in the reader’s words', () => {
    const zh = (key: Parameters<typeof translate>[1], p?: Parameters<typeof translate>[2]) => translate('zh', key, p);
    expect(who('plugin inspection-center for ada', zh)).toBe('ada（经由 inspection-center）');
    expect(who('plugin inspection-center', zh)).toBe('应用 inspection-center');
    expect(who('agent 0197', zh)).toBe('代理');
    expect(who('system workflow', zh)).toBe('Plenum 系统');
    // A person's name is a person's name, whatever it begins with.
    expect(who('agent of change', zh)).toBe('agent of change');
  });

  it('are told to plugin pages by their language tag', () => {
    expect([languageTag('en'), languageTag('zh')]).toEqual(['en', 'zh-CN']);
  });

  it('takes the reader’s language, else English, else any', () => {
    expect(localized('zh', { en: 'Host', zh: '主机' })).toBe('主机');
    expect(localized('zh', { en: 'Host' })).toBe('Host');
    expect(localized('en', { de: 'Rechner' })).toBe('Rechner');
    expect(localized('en', 'plain')).toBe('plain');
    expect(localized('en', null)).toBe('');
  });
});
