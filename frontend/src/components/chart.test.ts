import { describe, expect, it } from 'vitest';
import { pieces, positions, thin, ticks } from './chart';

describe('charts', () => {
  it('have round marks that hold all values', () => {
    expect(ticks(0, 9)).toEqual([0, 2.5, 5, 7.5, 10]);
    expect(ticks(0, 210)).toEqual([0, 100, 200, 300]);
    expect(ticks(-3, 7)).toEqual([-5, -2.5, 0, 2.5, 5, 7.5]);
    expect(ticks(0, 0.3)[0]).toBe(0);
    for (const high of [0.0007, 1, 13, 99, 1e9]) {
      const marks = ticks(0, high);
      expect(marks[marks.length - 1]).toBeGreaterThanOrEqual(high);
      expect(marks.length).toBeLessThanOrEqual(6);
    }
    expect(ticks(0, 0)).toEqual([0, 1]);
    expect(ticks(0, Infinity)).toEqual([0, 1]);
  });
  it('place points by their number or one beside the other', () => {
    const rows = [0, 10, 40].map((x) => ({ x, values: [1] }));
    expect(positions(rows, true)).toEqual([0, 0.25, 1]);
    expect(positions(rows, false).map((x) => x.toFixed(2))).toEqual(['0.17', '0.50', '0.83']);
    expect(positions([{ x: 5, values: [] }], true)).toEqual([0.5]);
  });
  it('leave a gap where a value is missing', () => {
    expect(pieces([0, 0.5, 1, 1.5], [1, null, 3, 4], (v) => v)).toEqual([[[0, 1]], [[1, 3], [1.5, 4]]]);
  });
  it('never lose a peak by drawing fewer points', () => {
    const rows = Array.from({ length: 5000 }, (_, i) => ({ x: i, values: [i === 1234 ? 99 : 1] }));
    const drawn = thin(rows);
    expect(drawn.length).toBeLessThanOrEqual(600);
    expect(Math.max(...drawn.map((r) => r.values[0] ?? 0))).toBe(99);
  });
});
