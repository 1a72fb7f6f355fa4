import axe from 'axe-core';
import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Run, Task } from '../../../api/types';
import { host, show } from '../../../test/page';
import { graphOf } from '../canvas/graph';
import RunViews from './RunViews';
import { pictureOf, roundsOf } from './states';
import { bar, inView, marks } from './timeline';

/** What axe finds, without what only a layout engine can say. */
const barriers = async () => (await axe.run(document.body, { rules: { 'color-contrast': { enabled: false }, region: { enabled: false } } })).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ').slice(0, 300)}`);

const SOURCE = `do:
- plan: {set: {x: 1}}
- each:
    for: {each: h, in: .hosts}
    do:
    - inner:
        for: {each: i, in: .is}
        do:
        - work: {call: job.run}
    - safe:
        try:
        - risky: {call: y}
        catch:
          retry: {limit: {attempt: {count: 3}}}
          do:
          - mend: {set: {a: 1}}
- last: {call: f}
use: {functions: {f: {do: [{deep: {set: {x: 1}}}]}}}
`;
let next = 0;
const task = (path: string, over: Partial<Task> = {}): Task => {
  const pointer = over.pointer ?? path.replace(/\[\d+\]/g, '');
  return { id: (next += 1), parent: null, path, pointer, name: pointer.split('/').at(-1) ?? '', kind: 'call', action: null, status: 'succeeded', attempt: 1, input: null, output: null, error: null, started_at: '2026-01-01T00:00:00.000Z', finished_at: '2026-01-01T00:00:01.000Z', duration_ms: 1000, waiting: null, acts: [], ...over } as Task;
};

describe('the picture of a run', () => {
  it('knows the rounds of an execution', () => {
    expect(roundsOf({ path: '/do/1/each[3]/do/0/inner[0]/do/0/work', pointer: '/do/1/each/do/0/inner/do/0/work' })).toEqual([{ loop: '/do/1/each', at: 3 }, { loop: '/do/1/each/do/0/inner', at: 0 }]);
    expect(roundsOf({ path: '/do/0/t/try[2]/0/a', pointer: '/do/0/t/try/0/a' })).toEqual([{ loop: '/do/0/t', at: 1 }]);
    expect(roundsOf({ path: '/do/1/e[4]/do/0/call/call/do/0/y', pointer: '/use/functions/f/do/0/y' })).toEqual([]);
    expect(roundsOf({ path: '/do/0/a[1]', pointer: '/do/0/a[1]' })).toEqual([]);
  });
  it('shows one round at a time, the newest unless another is chosen', () => {
    const graph = graphOf(SOURCE);
    const tasks = [
      task('/do/0/plan'),
      task('/do/1/each', { kind: 'for' }),
      task('/do/1/each[0]/do/0/inner', { kind: 'for' }),
      task('/do/1/each[0]/do/0/inner[0]/do/0/work'),
      task('/do/1/each[0]/do/0/inner[1]/do/0/work', { status: 'failed' }),
      task('/do/1/each[1]/do/0/inner', { kind: 'for' }),
      task('/do/1/each[1]/do/0/inner[0]/do/0/work'),
      task('/do/1/each[1]/do/1/safe', { kind: 'try' }),
      task('/do/1/each[1]/do/1/safe/try/0/risky', { status: 'failed' }),
      task('/do/1/each[1]/do/1/safe/try[2]/0/risky', { status: 'running', finished_at: null }),
    ];
    const p = pictureOf(tasks, graph, new Map());
    expect(Object.fromEntries(p.rounds)).toEqual({ '/do/1/each': { at: 1, total: 2 }, '/do/1/each/do/0/inner': { at: 0, total: 1 }, '/do/1/each/do/1/safe': { at: 1, total: 2 } });
    expect(p.states.get('/do/1/each')).toMatchObject({ count: 2, failed: 1 });
    expect(p.states.get('/do/1/each/do/0/inner/do/0/work')).toMatchObject({ status: 'succeeded', count: 1 });
    expect(p.states.get('/do/1/each/do/1/safe/try/0/risky')).toMatchObject({ status: 'running', count: 1 });
    const first = pictureOf(tasks, graph, new Map([['/do/1/each', 0]]));
    expect(first.rounds.get('/do/1/each/do/0/inner')).toEqual({ at: 1, total: 2 });
    expect(first.states.get('/do/1/each/do/0/inner/do/0/work')?.status).toBe('failed');
    expect(first.states.has('/do/1/each/do/1/safe')).toBe(false);
    const attempt = pictureOf(tasks, graph, new Map([['/do/1/each/do/1/safe', 0]]));
    expect(attempt.states.get('/do/1/each/do/1/safe/try/0/risky')?.status).toBe('failed');
  });
  it('counts what began again, and lets what catches and functions stand as their tasks do', () => {
    const graph = graphOf(SOURCE);
    const p = pictureOf([task('/do/0/plan'), task('/do/0/plan', { status: 'failed' }), task('/do/1/each[0]/do/1/safe/catch/do/0/mend'), task('/do/2/last/call/do/0/deep', { pointer: '/use/functions/f/do/0/deep' })], graph, new Map());
    expect(p.states.get('/do/0/plan')).toMatchObject({ status: 'failed', count: 2, failed: 1 });
    expect(p.shown.get('/do/0/plan')).toHaveLength(2);
    expect(p.states.get('/do/1/each/do/1/safe/catch')?.status).toBe('succeeded');
    expect(p.states.get('/use/functions/f#function')?.status).toBe('succeeded');
  });
});

describe('the timeline', () => {
  it('has marks that people read', () => {
    expect(marks(1000, 6)).toEqual([0, 200, 400, 600, 800, 1000]);
    expect(marks(90 * 86_400_000, 9)).toHaveLength(10);
    expect(marks(0, 5)).toEqual([0]);
  });
  it('draws the rows in view only', () => {
    expect(inView(2600, 520, 26, 10_000)).toEqual({ from: 92, to: 128 });
    expect(inView(0, 520, 26, 3)).toEqual({ from: 0, to: 3 });
    expect(bar(50, 100, 0, 200)).toEqual({ left: 0.25, width: 0.25 });
    expect(bar(-50, 900, 0, 200)).toEqual({ left: 0, width: 1 });
  });
});

describe('the views of a run', () => {
  beforeEach(() => {
    vi.stubGlobal('ResizeObserver', class {
      constructor(private f: (e: unknown[]) => void) {}
      observe(el: HTMLElement) {
        this.f([{ target: el, contentRect: { width: 900, height: 600 } }]);
      }
      unobserve() {}
      disconnect() {}
    });
    vi.stubGlobal('DOMMatrixReadOnly', class { m22 = 1; });
    for (const [name, value] of [['offsetWidth', 900], ['offsetHeight', 600]] as const) Object.defineProperty(HTMLElement.prototype, name, { configurable: true, get: () => value });
  });
  const tasks = [task('/do/0/plan'), task('/do/0/plan', { status: 'waiting', finished_at: null, acts: ['retry', 'skip'], waiting: { reason: 'a decision: Go?', since: '2026-01-01T00:00:00Z', until: null, paused: false, permission: 'workflow.run' }, input: { marker: 'in-1' } })];
  const run = { id: 'r1', workflow: 'flow', version: 3, status: 'waiting', started_at: '2026-01-01T00:00:00Z', finished_at: null, duration_ms: 5, tasks, task_count: 2, acts: [] } as unknown as Run;
  const paths = { 'GET /workflows/flow/versions/3': () => ({ version: 3, created_at: '', source: SOURCE }) };

  it('draw it with states, and show a task with what may be done', async () => {
    host(paths);
    show(<RunViews run={run} live />, { permissions: ['workflow.run'] });
    const plan = await screen.findByRole('button', { name: /^plan, Set data, x, Waiting, 2 times/ });
    fireEvent.click(plan);
    const panel = await screen.findByRole('region', { name: 'Task plan' });
    expect(within(panel).getByText(/a decision: Go\?/)).toBeTruthy();
    expect(panel.textContent).toContain('in-1');
    expect(within(panel).getByRole('button', { name: 'Act on plan' })).toBeTruthy();
    expect(within(panel).getByRole('combobox', { name: 'It began 2 times' })).toBeTruthy();
    expect(await barriers()).toEqual([]);
    fireEvent.click(within(panel).getByRole('button', { name: 'Close' }));
    await waitFor(() => expect(screen.queryByRole('region', { name: 'Task plan' })).toBeNull());
  });
  it('over time and as a list, in Chinese too', async () => {
    host(paths);
    show(<RunViews run={run} live />, { path: '/?view=timeline', locale: 'zh' });
    const gantt = await screen.findByRole('region', { name: '时间线' });
    expect(within(gantt).getAllByRole('button', { name: /^plan/ })).toHaveLength(2);
    expect(await barriers()).toEqual([]);
    fireEvent.click(screen.getByText('列表'));
    await waitFor(() => expect(document.querySelectorAll('.task')).toHaveLength(2));
  });
});
