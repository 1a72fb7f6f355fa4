import { describe, expect, it } from 'vitest';
import type { PermissionChange, PluginMetrics } from '../../api/types';
import { byWeight, chosenGrants, compareVersions, keptGrants, lostGrants, rates, scopeChanges, share, withSample } from './usage';

const metrics = (calls: number, errors = 0) => ({ calls, errors, refused: 0, p50_ms: 1, p95_ms: 2, p99_ms: 3 }) as PluginMetrics;

describe('numbers of an app over time', () => {
  it('are rates between one reading and the next', () => {
    let s = withSample(undefined, metrics(10), 0);
    s = withSample(s, metrics(20, 1), 30_000);
    s = withSample(s, metrics(20, 1), 60_000);
    expect(rates(s).map((r) => r.values)).toEqual([[20, 2, 0], [0, 0, 0]]);
  });
  it('begin anew with the host, and are bounded', () => {
    let s = withSample(withSample(undefined, metrics(50), 0), metrics(3), 1000);
    expect(s).toHaveLength(1);
    for (let i = 0; i < 500; i += 1) s = withSample(s, metrics(3 + i), 2000 + i);
    expect(s).toHaveLength(360);
  });
  it('two readings at one moment are no rate', () => {
    expect(rates(withSample(withSample(undefined, metrics(1), 5), metrics(2), 5))[0]?.values[0]).toBeNull();
  });
  it('fill a meter and never more than it', () => {
    expect([share(1, 2), share(3, 2), share(-1, 2), share(1, 0)]).toEqual([0.5, 1, 0, 0]);
  });
});

describe('versions', () => {
  it('are in the order of Semantic Versioning', () => {
    const order = ['not one', '0.9.0', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta.2', '1.0.0-beta.11', '1.0.0-rc.1', '1.0.0', '1.2.0', '1.10.0'];
    expect([...order].reverse().sort(compareVersions)).toEqual(order);
    expect(compareVersions('1.0.0+a', '1.0.0+b')).toBe(0);
  });
});

describe('what an upgrade asks for', () => {
  const c = (name: string, change: PermissionChange['change'], needs: boolean, granted: PermissionChange['granted'] = {}): PermissionChange => ({
    name,
    change,
    from: change === 'added' ? null : {},
    to: change === 'removed' ? null : {},
    granted,
    needs_grant: needs,
    reason: '',
  });
  const all = [c('a.same', 'same', false), c('b.new', 'added', true, null), c('c.wider', 'changed', true, { models: ['host'] }), c('d.gone', 'removed', false)];
  it('shows first what waits for a grant', () => {
    expect(byWeight(all).map((x) => x.name)).toEqual(['b.new', 'c.wider', 'd.gone', 'a.same']);
  });
  it('grants nothing new by itself, and leaves the narrower scope in place', () => {
    expect(keptGrants(all)).toEqual(['a.same']);
    expect(chosenGrants(all, keptGrants(all))).toBeUndefined();
    expect(lostGrants(all, keptGrants(all))).toEqual([]);
  });
  it('says what is lost when names are sent', () => {
    expect(chosenGrants(all, ['a.same', 'b.new'])).toEqual(['a.same', 'b.new']);
    expect(lostGrants(all, ['a.same', 'b.new'])).toEqual(['c.wider']);
    expect(lostGrants(all, [])).toEqual(['a.same', 'c.wider']);
  });
  it('marks what a scope gained and lost; no list is all', () => {
    expect(scopeChanges({ models: ['host', 'redis'] }, { models: ['host', 'mysql'] }).map((x) => `${x.value} ${x.change}`)).toEqual(['host same', 'mysql added', 'redis removed']);
    expect(scopeChanges({}, { models: ['host'] }).map((x) => `${x.value} ${x.change}`)).toEqual(['host added', '* removed']);
    expect(scopeChanges(null, null)).toEqual([]);
  });
});
