import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Json } from '../../../api/types';
import { durationText, graphOf, toGraph, type Graph } from './graph';
import { layout, pathOf, spread, type Box } from './layout';

const flow = (tasks: string, more = '') => graphOf(`document: {dsl: '1.0.0', namespace: t, name: t, version: '1.0.0'}\n${more}do:\n${tasks}`);
const ways = (g: Graph) => g.edges.map((e) => `${name(g, e.from)}>${name(g, e.to)}${e.labels.length ? `:${e.labels.join('+')}` : ''}`);
const name = (g: Graph, id: string) => g.nodes.get(id)?.name || `(${g.nodes.get(id)?.kind})`;
const node = (g: Graph, id: string) => {
  const n = g.nodes.get(id);
  if (!n) throw new Error(`no ${id} in ${[...g.nodes.keys()].join(' ')}`);
  return n;
};

describe('a definition as a graph', () => {
  it('one after another, with a beginning and an end', () => {
    const g = flow(`- a: {set: {x: 1, y: 2}}\n- b: {call: job.run}\n- c: {wait: PT1H30M}`);
    expect(ways(g)).toEqual(['a>b', 'b>c', 'c>(end)', '(start)>a']);
    expect([...g.nodes.values()].map((n) => [n.kind, n.text])).toEqual([['set', 'x, y'], ['call', 'job.run'], ['wait', '1 h 30 min'], ['start', ''], ['end', '']]);
  });
  it('every kind says what it does', () => {
    const g = flow(
      [
        `- web: {call: http, with: {method: get, endpoint: {uri: 'https://x/{id}'}}}`,
        `- tell: {emit: {event: {with: {type: ops.done, source: 'urn:x'}}}}`,
        `- oops: {raise: {error: {type: t, status: 400, title: No}}}`,
        `- hear: {listen: {to: {any: [{with: {type: a}}, {with: {type: b}}]}}}`,
        `- one: {listen: {to: {one: {with: {type: a}}}}}`,
        `- sub: {run: {workflow: {namespace: n, name: other, version: '1'}}}`,
        `- sh: {run: {shell: {command: uptime}}}`,
        `- named: {raise: {error: notFound}}`,
        `- expr: {set: '\${ .x }'}`,
        `- what: {if: true}`,
      ].join('\n'),
    );
    const text = (n: string) => [...g.nodes.values()].find((x) => x.name === n)?.text;
    expect(['web', 'tell', 'oops', 'hear', 'one', 'sub', 'sh', 'named', 'expr'].map(text)).toEqual(['GET https://x/{id}', 'ops.done', 'No', 'any: a, b', 'a', 'workflow other', 'shell uptime', 'notFound', '${ .x }']);
    expect(node(g, '/do/9/what').kind).toBe('unknown');
  });
  it('then: continue, exit, end, a name forwards and backwards', () => {
    const g = flow(`- a: {set: {x: 1}, then: c}\n- b: {set: {x: 1}, then: end}\n- c: {set: {x: 1}, then: continue}\n- d: {set: {x: 1}, then: a}`);
    expect(ways(g)).toEqual(['a>c', 'b>(end)', 'c>d', 'd>a', '(start)>a']);
    expect(g.edges[0]?.kind).toBe('then');
    const only = flow(`- a: {if: .x, set: {x: 1}, then: end}\n- b: {set: {x: 1}}`);
    expect(ways(only)).toEqual(['a>(end)', 'a>b:', 'b>(end)', '(start)>a']);
    const inner = flow(`- block:\n    do:\n    - a: {set: {x: 1}, then: exit}\n    - b: {set: {x: 1}, then: end}\n    - c: {set: {x: 1}}\n- after: {set: {x: 1}}`);
    expect(ways(inner)).toEqual(['a>(exit)', 'b>(end)', 'c>(exit)', 'block>after', 'after>(end)', '(start)>block']);
  });
  it('a switch leads to its cases, and on when none matches and there is no default', () => {
    const g = flow(`- ask:\n    switch:\n    - low: {when: .n < 1, then: small}\n    - tiny: {when: .n < 0, then: small}\n    - big: {when: .n > 9, then: exit}\n- mid: {set: {x: 1}, then: end}\n- small: {set: {x: 1}}`);
    expect(ways(g)).toEqual(['ask>small:low+tiny', 'ask>(end):big', 'ask>mid:', 'mid>(end)', 'small>(end)', '(start)>ask']);
    const full = flow(`- ask:\n    switch:\n    - a: {when: .n, then: x}\n    - b: {then: continue}\n- y: {set: {q: 1}, then: end}\n- x: {set: {q: 1}}`);
    expect(ways(full).slice(0, 2)).toEqual(['ask>x:a', 'ask>y:b']);
    const last = flow(`- ask:\n    switch:\n    - again: {when: .n, then: ask}`);
    expect(ways(last)).toContain('ask>(end):');
  });
  it('nests what nests', () => {
    const g = flow(
      `- loop:\n    for: {each: host, in: .hosts, at: i}\n    while: .go\n    do:\n    - both:\n        fork:\n          compete: true\n          branches:\n          - l: {call: x}\n          - r: {do: [{deep: {set: {a: 1}}}]}\n` +
        `- safe:\n    try:\n    - risky: {call: y}\n    catch:\n      errors: {with: {status: 503}}\n      retry: {delay: {seconds: 3}, limit: {attempt: {count: 5}}}\n      do:\n      - mend: {set: {a: 1}}\n`,
    );
    const loop = node(g, '/do/0/loop');
    expect([loop.text, loop.extras.while, loop.lists[0]?.nodes]).toEqual(['$host: .hosts', '.go', ['/do/0/loop/do/0/both']]);
    const both = node(g, '/do/0/loop/do/0/both');
    expect([both.extras.compete, both.lists[0]?.order, both.lists[0]?.nodes.length]).toEqual(['true', 'parallel', 2]);
    expect(node(g, '/do/0/loop/do/0/both/fork/branches/1/r/do/0/deep').parent).toBe('/do/0/loop/do/0/both/fork/branches/1/r');
    expect(ways(g).filter((w) => w.startsWith('l>') || w.startsWith('r>'))).toEqual([]);
    const caught = node(g, '/do/1/safe/catch');
    expect([caught.text, caught.extras.retry, caught.lists[0]?.nodes]).toEqual(['status = 503', '5×, 3 s', ['/do/1/safe/catch/do/0/mend']]);
    expect(g.edges.find((e) => e.kind === 'error')).toMatchObject({ from: '/do/1/safe', to: '/do/1/safe/catch' });
  });
  it('functions stand beside the main list, and pointers are escaped', () => {
    const g = flow('- a/b~c: {call: f}', 'use: {functions: {f: {set: {x: 1}}}}\n');
    expect(g.nodes.has('/do/0/a~1b~0c')).toBe(true);
    expect(node(g, '/use/functions/f').parent).toBe('/use/functions/f#function');
    expect(g.roots).toHaveLength(2);
  });
  it('what a task carries', () => {
    const g = flow(`- a: {call: x, if: .y, timeout: {after: {minutes: 5}}, input: {from: .i}, output: {as: .o}, export: {as: .e}}`);
    expect(node(g, '/do/0/a').extras).toEqual({ if: '.y', timeout: '5 min', input: '.i', output: '.o', export: '.e' });
    expect([durationText('PT10S'), durationText('${ .d }'), durationText({ days: 1, hours: 2 })]).toEqual(['10 s', '${ .d }', '1 d 2 h']);
  });
  it('survives what is no definition', () => {
    for (const text of ['', 'do: 3', 'do: [1, {}, {a: 2}, {b: null}]', '- x', 'do:\n- a: {switch: 3}', 'do: [{a: {try: [], catch: 4}}, {b: {for: 1, do: 2}}, {c: {fork: {branches: {}}}}]']) {
      const g = graphOf(text);
      expect(layout(g).boxes.length).toBeGreaterThan(0);
    }
    expect(graphOf('do:\n- a: {set: {x: 1}\n').broken).toBeTruthy();
    expect(graphOf('a: &a [*a, *a]\ndo: []').roots).toHaveLength(1);
  });
});

describe('the layout', () => {
  const at = (boxes: Box[], end: string) => boxes.find((b) => b.id.endsWith(end)) as Box;
  const apart = (a: Box, b: Box) => a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;

  it('puts alternatives beside each other and what follows below', () => {
    const l = layout(flow(`- ask:\n    switch:\n    - low: {when: .n, then: fix}\n    - else: {then: tell}\n- fix: {set: {x: 1}, then: done}\n- tell: {set: {x: 1}}\n- done: {set: {x: 1}}`));
    const [ask, fix, tell, done] = ['ask', 'fix', 'tell', 'done'].map((n) => at(l.boxes, n)) as [Box, Box, Box, Box];
    expect(fix.y).toBe(tell.y);
    expect(fix.x + fix.w).toBeLessThan(tell.x);
    expect(done.y).toBeGreaterThan(fix.y + fix.h);
    expect(Math.abs(ask.x + ask.w / 2 - (done.x + done.w / 2))).toBeLessThan(1);
  });
  it('keeps everything within what contains it, and apart from the rest', () => {
    const g = graphOf(readFileSync('src/features/workflows/canvas/sample.yaml', 'utf8'));
    const l = layout(g);
    const boxes = new Map(l.boxes.map((b) => [b.id, b]));
    expect(l.boxes.length).toBe(g.nodes.size);
    for (const b of l.boxes) {
      const parent = g.nodes.get(b.id)?.parent;
      const p = parent ? boxes.get(parent) : undefined;
      if (p) expect([b.x >= p.x, b.y >= p.y, b.x + b.w <= p.x + p.w, b.y + b.h <= p.y + p.h], b.id).toEqual([true, true, true, true]);
      for (const other of l.boxes) if (other !== b && g.nodes.get(other.id)?.parent === (parent ?? null)) expect(apart(b, other), `${b.id} over ${other.id}`).toBe(true);
    }
    // No way goes through a task that it does not belong to.
    for (const w of l.ways) {
      for (const b of l.boxes) {
        if (b.open || b.id === w.edge.from || b.id === w.edge.to) continue;
        w.points.slice(1).forEach((q, i) => {
          const p = w.points[i];
          if (!p) return;
          const inside = Math.max(p.x, q.x) > b.x + 1 && Math.min(p.x, q.x) < b.x + b.w - 1 && Math.max(p.y, q.y) > b.y + 1 && Math.min(p.y, q.y) < b.y + b.h - 1;
          expect(inside, `${w.edge.id} through ${b.id}`).toBe(false);
        });
      }
    }
    expect(JSON.stringify(layout(g))).toBe(JSON.stringify(l));
  });
  it('folds', () => {
    const g = flow(`- a:\n    do:\n    - b: {set: {x: 1}}\n- c: {set: {x: 1}}`);
    const l = layout(g, new Set(['/do/0/a']));
    expect(l.boxes.map((b) => b.id)).toEqual(['/do#start', '/do/0/a', '/do/1/c', '/do#end']);
    expect(at(l.boxes, '/a')).toMatchObject({ open: false, container: true });
  });
  it('of thousands of tasks is quick', () => {
    const list: Json[] = Array.from({ length: 1000 }, (_, i) => ({ [`t${i}`]: (i % 10 === 3 ? { switch: [{ far: { when: '.x', then: `t${Math.min(999, i + 7)}` } }] } : { set: { x: i } }) as Json }));
    const begun = performance.now();
    const g = toGraph({ do: list });
    const l = layout(g);
    expect(l.boxes.length).toBe(1002);
    const wide = layout(toGraph({ do: [{ f: { fork: { branches: list } } }] }));
    expect(Math.max(...wide.boxes.map((b) => b.x + b.w))).toBeLessThan(1200);
    expect(performance.now() - begun).toBeLessThan(4000);
  });
  it('each goes where it wants to, as far as the others let it', () => {
    const row = [{ x: 0, w: 10 }, { x: 0, w: 10 }, { x: 0, w: 10 }];
    spread(row, [50, 50, 400]);
    expect([row[0]?.x, row[1]?.x, row[2]?.x]).toEqual([33, 67, 400]);
  });
  it('draws ways with round turns', () => {
    expect(pathOf([{ x: 0, y: 0 }, { x: 0, y: 20 }, { x: 30, y: 20 }])).toBe('M0 0L0 13Q0 20 7 20L30 20');
    expect(pathOf([])).toBe('');
  });
});
