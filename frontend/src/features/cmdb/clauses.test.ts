import { describe, expect, it } from 'vitest';
import { splitClauses, ticked, toggle, without } from './clauses';

describe('ticking values into a filter', () => {
  it('adds, joins and removes values of one field', () => {
    let f = toggle('', 'env', 'prod');
    expect(f).toBe('env == "prod"');
    f = toggle(f, 'env', 'test');
    expect(f).toBe('env in ["prod", "test"]');
    f = toggle(f, 'cpus', 4);
    expect(f).toBe('env in ["prod", "test"] && cpus == 4');
    expect(ticked(f, 'env')).toEqual(['prod', 'test']);
    f = toggle(toggle(f, 'env', 'prod'), 'env', 'test');
    expect(f).toBe('cpus == 4');
    expect(toggle(f, 'cpus', 4)).toBe('');
    expect(toggle('', 'env', null)).toBe('env == null');
  });

  it('leaves what a person wrote', () => {
    expect(toggle('a == 1 || b == 2', 'env', 'x')).toBe('(a == 1 || b == 2) && env == "x"');
    expect(toggle('(a == 1 || b == 2) && env == "x"', 'env', 'x')).toBe('(a == 1 || b == 2)');
    expect(without('name == "a && b" && runs_on.exists(h, h.env == "x" && h.up)', 'env')).toBe('name == "a && b" && runs_on.exists(h, h.env == "x" && h.up)');
    expect(ticked('env == other', 'env')).toEqual([]);
    expect(splitClauses('a == "\\"&&" && b')).toEqual(['a == "\\"&&"', 'b']);
  });
});
