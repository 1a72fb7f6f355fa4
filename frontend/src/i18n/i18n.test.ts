import { describe, expect, it } from 'vitest';

import { en } from './en';
import { zh } from './zh';

const places = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

describe('the two languages', () => {
  it('have the same keys', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  });

  it('say something for every key', () => {
    for (const [key, text] of [...Object.entries(en), ...Object.entries(zh)]) expect(text.trim(), key).not.toBe('');
  });

  it('fill the same places', () => {
    for (const key of Object.keys(en) as (keyof typeof en)[]) {
      const inEnglish = new Set(places(en[key]));
      for (const place of places(zh[key])) expect(inEnglish.has(place), `${key}: {${place}}`).toBe(true);
    }
  });
});
