import { describe, expect, it } from 'vitest';
import { cssVariables, palettes, type Mode } from './tokens';

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(a: string, b: string): number {
  const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (hi + 0.05) / (lo + 0.05);
}

describe.each(['light', 'dark'] as Mode[])('%s palette', (mode) => {
  const p = palettes[mode];
  it.each(['text', 'text-2', 'text-3', 'accent', 'ok', 'warn', 'bad', 'info'] as const)('%s is readable on every ground', (name) => {
    for (const ground of ['bg', 'surface', 'hover', 'code'] as const) expect(contrast(p[name], p[ground]), ground).toBeGreaterThanOrEqual(4.5);
  });
  it('states are readable on their own soft ground, buttons on the accent, the navigation on its own', () => {
    for (const s of ['ok', 'warn', 'bad', 'info', 'accent'] as const) expect(contrast(p[s], p[`${s}-soft`]), s).toBeGreaterThanOrEqual(4.5);
    for (const s of ['ok', 'warn', 'bad', 'info'] as const) expect(contrast(p.text, p[`${s}-soft`]), s).toBeGreaterThanOrEqual(4.5);
    expect(contrast(p['on-accent'], p.accent)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(p['nav-text'], p.nav)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(p['nav-text-2'], p.nav)).toBeGreaterThanOrEqual(4.5);
  });
  it('becomes CSS variables', () => {
    expect(cssVariables(mode)['--p-accent']).toBe(p.accent);
  });
});
