import { describe, expect, it } from 'vitest';
import { compare, diffLines, folded } from './diff';

const A = 'do:\n- a: {set: {x: 1}}\n- each:\n    for: {in: .x}\n    do:\n    - b: {call: y}\n    - old: {call: z}\n- last: {set: {x: 1}}\n';
const B = 'do:\n- new: {wait: PT1S}\n- a: {set: {x: 1}}\n- each:\n    for: {in: .x}\n    do:\n    - b: {call: y2}\n- last: {set: {x: 1}}\n';

describe('two versions', () => {
  it('line by line', () => {
    const d = diffLines(A, B);
    expect(d.filter((l) => l.kind !== 'same').map((l) => [l.kind, l.text.trim(), l.before, l.after])).toEqual([
      ['come', '- new: {wait: PT1S}', null, 2],
      ['gone', '- b: {call: y}', 6, null],
      ['gone', '- old: {call: z}', 7, null],
      ['come', '- b: {call: y2}', null, 7],
    ]);
    expect(d.filter((l) => l.kind !== 'come').map((l) => l.text).join('\n')).toBe(A);
    expect(d.filter((l) => l.kind !== 'gone').map((l) => l.text).join('\n')).toBe(B);
    expect(folded(diffLines('a\nb\nc\nd\ne\nf\ng\nh\ni', 'a\nb\nc\nd\ne\nf\ng\nh\nX'), 1).map((l) => l?.text ?? null)).toEqual([null, 'h', 'i', 'X']);
    const [long, other] = [Array.from({ length: 3000 }, (_, i) => `a${i}`).join('\n'), Array.from({ length: 3000 }, (_, i) => `b${i}`).join('\n')];
    expect(diffLines(long, other)).toHaveLength(6000);
  });
  it('task by task: what only moved is the same, what contains a change is not changed itself', () => {
    const { changes, gone } = compare(A, B);
    expect([Object.fromEntries(changes), gone]).toEqual([{ '/do/0/new': 'added', '/do/2/each/do/0/b': 'changed' }, ['old']]);
    expect([...compare(A, A).changes]).toEqual([]);
  });
});
