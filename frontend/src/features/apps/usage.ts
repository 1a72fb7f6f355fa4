/** What the pages of an app work out of its numbers. */
import type { PermissionChange, PluginMetrics } from '../../api/types';
import type { ChartRow } from '../../components/chart';

export interface Sample {
  at: number;
  calls: number;
  errors: number;
  refused: number;
  p50: number;
  p95: number;
  p99: number;
}

export interface Watched {
  now: PluginMetrics;
  /** What was read since the page was opened, oldest first. */
  samples: Sample[];
}

const KEPT = 360;

/** The samples with one more. Numbers that went back are those of a host that was started again: what was before is no part of them. */
export function withSample(old: Sample[] | undefined, m: PluginMetrics, at: number): Sample[] {
  const last = old?.[old.length - 1];
  const kept = !old || (last && m.calls < last.calls) ? [] : old;
  return [...kept, { at, calls: m.calls, errors: m.errors, refused: m.refused, p50: m.p50_ms, p95: m.p95_ms, p99: m.p99_ms }].slice(-KEPT);
}

/** Calls, errors and refusals a minute, between one sample and the next. */
export function rates(samples: Sample[]): ChartRow[] {
  return samples.slice(1).map((s, i) => {
    const before = samples[i] ?? s;
    const minutes = (s.at - before.at) / 60_000;
    const rate = (now: number, then: number) => (minutes > 0 ? Math.max(0, now - then) / minutes : null);
    return { x: s.at, values: [rate(s.calls, before.calls), rate(s.errors, before.errors), rate(s.refused, before.refused)] };
  });
}

/** How full something is, between 0 and 1. */
export function share(used: number, limit: number): number {
  return limit > 0 ? Math.min(1, Math.max(0, used / limit)) : 0;
}

/** Order of versions by Semantic Versioning: negative where `a` is older. What is no version is older than any. */
export function compareVersions(a: string, b: string): number {
  const read = (v: string) => /^(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(v);
  const [x, y] = [read(a), read(b)];
  if (!x || !y) return Number(Boolean(x)) - Number(Boolean(y));
  for (const i of [1, 2, 3]) {
    const d = Number(x[i]) - Number(y[i]);
    if (d !== 0) return d;
  }
  if (x[4] === undefined || y[4] === undefined) return Number(x[4] === undefined) - Number(y[4] === undefined);
  const [p, q] = [x[4].split('.'), y[4].split('.')];
  for (let i = 0; i < Math.max(p.length, q.length); i += 1) {
    const [l, r] = [p[i], q[i]];
    if (l === undefined || r === undefined) return l === undefined ? -1 : 1;
    const [ln, rn] = [/^\d+$/.test(l), /^\d+$/.test(r)];
    if (ln && rn && Number(l) !== Number(r)) return Number(l) - Number(r);
    if (ln !== rn) return ln ? -1 : 1;
    if (l !== r) return l < r ? -1 : 1;
  }
  return 0;
}

/** The parts of a scope that one version has and the other has not; an absent key is all of its kind. */
export function scopeChanges(from: Record<string, string[]> | null, to: Record<string, string[]> | null): { key: string; value: string; change: 'added' | 'removed' | 'same' }[] {
  const keys = [...new Set([...Object.keys(from ?? {}), ...Object.keys(to ?? {})])];
  return keys.flatMap((key) => {
    const [was, is] = [from ? (from[key] ?? ['*']) : [], to ? (to[key] ?? ['*']) : []];
    return [
      ...is.map((value) => ({ key, value, change: was.includes(value) ? ('same' as const) : ('added' as const) })),
      ...was.filter((v) => !is.includes(v)).map((value) => ({ key, value, change: 'removed' as const })),
    ];
  });
}

/** What waits for a grant first, then other changes, then what stays. */
export function byWeight(changes: PermissionChange[]): PermissionChange[] {
  const weight = (c: PermissionChange) => (c.needs_grant ? 0 : c.change === 'added' ? 1 : c.change === 'changed' ? 2 : c.change === 'removed' ? 3 : 4);
  return [...changes].sort((a, b) => weight(a) - weight(b) || a.name.localeCompare(b.name));
}

/** What is granted at the start of an upgrade: all that it had and still asks for. What is new waits until somebody ticks it. */
export function keptGrants(changes: PermissionChange[]): string[] {
  return changes.filter((c) => c.to !== null && c.granted !== null && !c.needs_grant).map((c) => c.name);
}

/**
 * What to send as the grants of an upgrade: nothing where nothing is granted or taken away, since the installed scopes then stay as they
 * are, narrower ones too; else all names.
 */
export function chosenGrants(changes: PermissionChange[], chosen: string[]): string[] | undefined {
  const untouched = changes.filter((c) => c.to !== null).every((c) => chosen.includes(c.name) === (c.granted !== null && !c.needs_grant));
  return untouched ? undefined : chosen;
}

/** Permissions that it has and would lose by these grants. */
export function lostGrants(changes: PermissionChange[], chosen: string[]): string[] {
  const sent = chosenGrants(changes, chosen);
  return sent === undefined ? [] : changes.filter((c) => c.to !== null && c.granted !== null && !sent.includes(c.name)).map((c) => c.name);
}
