import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { host, show } from '../../../test/page';
import { graphOf } from './graph';
import SourceDrawing, { problemsByTask } from './SourceDrawing';

const TEXT = `do:
- plan: {call: cmdb.query, if: .go}
- each:
    for: {each: h, in: .hosts}
    do:
    - work: {call: job.run}
`;

beforeEach(() => {
  // A canvas needs a size; jsdom lays nothing out.
  vi.stubGlobal(
    'ResizeObserver',
    class {
      constructor(private f: (e: unknown[]) => void) {}
      observe(el: HTMLElement) {
        this.f([{ target: el, contentRect: { width: 900, height: 600 } }]);
      }
      unobserve() {}
      disconnect() {}
    },
  );
  vi.stubGlobal('DOMMatrixReadOnly', class { m22 = 1; });
  for (const [name, value] of [['offsetWidth', 900], ['offsetHeight', 600]] as const) Object.defineProperty(HTMLElement.prototype, name, { configurable: true, get: () => value });
});

describe('the drawing of a text', () => {
  it('says of each task what it is, and is walked with the keyboard', async () => {
    host({});
    show(<SourceDrawing source={TEXT} name="n" />);
    const drawing = await screen.findByRole('group', { name: 'Drawing of n' });
    const plan = await within(drawing).findByRole('button', { name: 'plan, Call, cmdb.query, Only if .go' });
    expect(within(drawing).getByRole('button', { name: /^each, For each, \$h: .hosts/ })).toBeTruthy();
    plan.focus();
    await userEvent.keyboard('{ArrowDown}{ArrowDown}{ArrowUp}');
    await waitFor(() => expect(document.activeElement?.getAttribute('aria-label')).toMatch(/^each/));
    await userEvent.keyboard('{Enter}');
    expect(document.activeElement?.getAttribute('aria-pressed')).toBe('true');
  });
  it('folds what has something within', async () => {
    host({});
    show(<SourceDrawing source={TEXT} name="n" />, { locale: 'zh' });
    await screen.findByRole('button', { name: /^work/ });
    const fold = document.querySelector<HTMLElement>('.wf-fold');
    fireEvent.click(fold as HTMLElement);
    expect(screen.queryByRole('button', { name: /^work/ })).toBeNull();
    expect(document.querySelector('.wf-fold')?.getAttribute('aria-expanded')).toBe('false');
  });
  it('shows at a task what the host finds wrong with it', async () => {
    host({ 'POST /workflows/validate': () => ({ ok: false, errors: [{ pointer: '/do/1/each/do/0/work/call', message: 'there is no action' }, { pointer: '/document', message: 'required' }], title: null, input_schema: null }) });
    show(<SourceDrawing source={TEXT} name="n" checked />);
    expect(await screen.findByRole('button', { name: /^work, .*Problems: 1/ })).toBeTruthy();
  });
  it('finds the innermost task of a problem', () => {
    const g = graphOf(TEXT);
    expect([...problemsByTask(g, [{ pointer: '/do/1/each/for/in', message: 'a' }, { pointer: '/do/1/each/do/0/work/with/x', message: 'b' }, { pointer: '/use', message: 'c' }])]).toEqual([
      ['/do/1/each', ['a']],
      ['/do/1/each/do/0/work', ['b']],
    ]);
  });
});
