import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import type { Run, Task } from '../../api/types';
import { host, Refusal, show } from '../../test/page';
import { fits } from './ManyRuns';
import Runs from './Runs';
import Statistics from './Statistics';

const run = (id: string, over: Partial<Run>): Run =>
  ({ id, workflow: `flow-${id}`, version: 1, key: null, status: 'running', started_by: 'ada', started_at: '2026-01-01T00:00:00Z', finished_at: null, duration_ms: 1, input: null, output: null, error: null, waiting: null, tasks: [], task_count: 2, acts: ['pause', 'cancel'], origin: null, ...over }) as Run;
const RUNS = [run('a', {}), run('b', { status: 'failed', acts: [] }), run('c', { status: 'succeeded', acts: [] })];

describe('several runs at once', () => {
  it('get the verbs that mean something for them, with one reason', async () => {
    const failed = { id: 9, name: 'x', status: 'failed', acts: ['retry'] } as unknown as Task;
    const asked = host({
      'GET /runs': () => ({ items: RUNS, next_cursor: null, total: 3 }),
      'GET /runs/b': () => run('b', { status: 'failed', tasks: [{ ...failed, id: 8, acts: [] }, failed] }),
      'POST /runs/b/tasks/9/retry': () => RUNS[1],
      'POST /runs/a/cancel': () => new Refusal(409, 'it has ended'),
    });
    show(<Runs />, { permissions: ['workflow.run'] });
    fireEvent.click(await screen.findByRole('checkbox', { name: 'Choose all on this page' }));
    expect(screen.getByRole('button', { name: /Pause \(1\)/ })).toBeTruthy();
    expect(screen.getByRole('button', { name: /Resume \(0\)/ }).hasAttribute('disabled')).toBe(true);
    fireEvent.click(screen.getByRole('button', { name: /Retry \(1\)/ }));
    const dialog = await screen.findByRole('dialog');
    expect(within(dialog).getByText('Retry: 1 runs')).toBeTruthy();
    expect(within(dialog).getByText('Left out, because it means nothing for them: 2')).toBeTruthy();
    expect(within(dialog).getByRole('button', { name: 'Retry' }).hasAttribute('disabled')).toBe(true);
    fireEvent.change(within(dialog).getByRole('textbox'), { target: { value: 'the host was busy' } });
    fireEvent.click(within(dialog).getByRole('button', { name: 'Retry' }));
    await waitFor(() => expect(asked.find((a) => a.url.pathname.endsWith('/runs/b/tasks/9/retry'))?.body).toBe('{"reason":"the host was busy"}'));
    // What was chosen is done with.
    await waitFor(() => expect(screen.queryByRole('button', { name: /Cancel the run \(/ })).toBeNull());
    fireEvent.click(screen.getByRole('checkbox', { name: 'Choose all on this page' }));
    fireEvent.click(screen.getByRole('button', { name: /Cancel the run \(1\)/ }));
    await screen.findByText('Cancel the run: 1 runs');
    const again = screen.getAllByRole('dialog').at(-1) as HTMLElement;
    fireEvent.change(within(again).getByRole('textbox'), { target: { value: 'no' } });
    fireEvent.click(within(again).getByRole('button', { name: 'Cancel the run' }));
    expect(await screen.findByText('0 done, 1 not: flow-a: it has ended')).toBeTruthy();
  });
  it('cannot be chosen by who may not run', async () => {
    host({ 'GET /runs': () => ({ items: RUNS, next_cursor: null, total: 3 }) });
    show(<Runs />);
    await screen.findByText('flow-a');
    expect(screen.queryByRole('checkbox')).toBeNull();
    expect(RUNS.map((r) => [fits(r, 'retry'), fits(r, 'pause')])).toEqual([[false, true], [true, false], [false, false]]);
  });
});

describe('statistics', () => {
  const spread = { p50: 1200, p90: 2000, p95: 2500, p99: 3000, max: 9000 };
  const answer = {
    from: '2026-01-01T00:00:00Z',
    to: '2026-01-08T00:00:00Z',
    runs: 4,
    more: false,
    by_status: { succeeded: 3, failed: 1 },
    durations: spread,
    buckets: [{ at: '2026-01-01T00:00:00Z', succeeded: 3, failed: 1, others: 0, p50: 1200 }],
    workflows: [{ workflow: 'flow', runs: 4, failed: 1, durations: spread }],
    causes: [{ workflow: 'flow', type: 'https://x/errors/timeout', title: 'Too late', instance: '/do/1/wait', runs: 1, last_run: 'r9', last_at: '2026-01-02T00:00:00Z' }],
    tasks: [{ workflow: 'flow', pointer: '/do/0/slow', name: 'slow', what: 'job.run', count: 4, failed: 0, durations: spread, total_ms: 4000 }, { workflow: 'flow', pointer: '/do/1/none', name: 'nothing', what: 'set', count: 4, failed: 0, durations: { ...spread }, total_ms: 0 }],
    task_runs: 4,
  };
  it('say how runs fared, and lead to what failed', async () => {
    const asked = host({ 'GET /runs/statistics': () => answer });
    show(<Statistics />, { path: '/?span=month' });
    expect(await screen.findByText('75.0 %')).toBeTruthy();
    expect(screen.getByText('Too late')).toBeTruthy();
    expect(screen.getAllByRole('link').some((a) => a.getAttribute('href') === '/runs/r9')).toBe(true);
    expect(screen.getByText('slow')).toBeTruthy();
    expect(screen.queryByText('nothing')).toBeNull();
    const from = Date.parse(asked[0]?.url.searchParams.get('from') ?? '');
    expect(Math.abs(Date.now() - from - 30 * 86_400_000)).toBeLessThan(60_000);
    fireEvent.click(screen.getByRole('button', { name: 'flow' }));
    await waitFor(() => expect(asked.at(-1)?.url.searchParams.get('workflow')).toBe('flow'));
  });
  it('say that there is nothing, in Chinese too', async () => {
    host({ 'GET /runs/statistics': () => ({ ...answer, runs: 0 }) });
    show(<Statistics />, { locale: 'zh' });
    expect(await screen.findByText('此时间范围内没有运行')).toBeTruthy();
  });
});
