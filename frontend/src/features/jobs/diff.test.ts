import { describe, expect, it } from 'vitest';
import { diffLines } from './diff';

const show = (left: string, right: string) =>
  diffLines(left, right)
    .map((l) => (l.kind === 'gap' ? `@${l.count}` : `${{ same: ' ', left: '-', right: '+' }[l.kind]}${l.text}`))
    .join('|');

describe('diffLines', () => {
  it('shows what differs with a few lines around it', () => {
    expect(show('a\nb\nc', 'a\nx\nc')).toBe(' a|-b|+x| c');
    expect(show('a\nb\nc', 'a\nc')).toBe(' a|-b| c');
    expect(show('', 'new')).toBe('-|+new');
    expect(show('same\ntext', 'same\ntext')).toBe('@2');
    const many = Array.from({ length: 20 }, (_, i) => `l${i}`);
    const other = many.map((l, i) => (i === 10 ? 'changed' : l));
    expect(show(many.join('\n'), other.join('\n'))).toBe('@7| l7| l8| l9|-l10|+changed| l11| l12| l13|@6');
    expect(show('b\nc\nd', 'a\nb\nd\ne')).toBe('+a| b|-c| d|+e');
  });

  it('stays quick with texts that have nothing in common', () => {
    const left = Array.from({ length: 5000 }, (_, i) => `a${i}`).join('\n');
    const right = Array.from({ length: 5000 }, (_, i) => `b${i}`).join('\n');
    expect(diffLines(left, right)).toHaveLength(10_000);
  });
});
