import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it, vi } from 'vitest';
import type { ModelChange } from '../../api/remodel';
import type { Model } from '../../api/types';
import { host, show } from '../../test/page';
import { ChangeDialog, harmless, mendable, RemovedPanel } from './Remodel';

const at = '2026-01-01T00:00:00Z';
const change = (more: Partial<ModelChange> = {}): ModelChange => ({
  id: 'c',
  model: 'gadget',
  state: 'checked',
  dry_run: true,
  mend: false,
  report: {
    records: 3,
    checked: 3,
    rewritten: 2,
    broken: 1,
    attributes: { size: { converted: 2, removed: 0, restored: 0, problems: [{ rule: 'kind', count: 1, mend: 'clear', examples: [{ id: 'b', label: 'Beta', value: 'big', message: 'size has to be a whole number' }] }] } },
  },
  started_by: 'ada',
  created_at: at,
  finished_at: at,
  error: null,
  ...more,
});
const model: Model = { name: 'gadget', title: 'Gadget', group: 'other', builtin: false, version: 2, display: 'name', attributes: [{ name: 'name', title: 'Name', kind: 'text' }] };

it('a dry run names the records in the way, and mending is a choice of its own', async () => {
  host({});
  const run = vi.fn((_: string) => Promise.resolve(change({ state: 'done', dry_run: false })));
  const done = vi.fn();
  show(<ChangeDialog first={change()} attributes={[{ name: 'size', title: 'Size', kind: 'integer' }]} run={run} onClose={() => {}} onDone={done} />);
  expect((await screen.findByRole('link', { name: 'Beta' })).getAttribute('href')).toBe('/cmdb/gadget/b');
  expect(screen.getByText(/2 values are converted/)).toBeTruthy();
  expect(screen.queryByRole('button', { name: 'Change the model' })).toBeNull();
  await userEvent.click(screen.getByRole('button', { name: 'Change it and mend the values' }));
  await waitFor(() => expect(done).toHaveBeenCalledTimes(1));
  expect(run.mock.calls[0]?.[0]).toBe('mend');
});

it('what only a hand can mend offers no button', async () => {
  host({});
  const c = change();
  for (const a of Object.values(c.report.attributes)) for (const p of a.problems) p.mend = null;
  expect([mendable(c.report), harmless(c)]).toEqual([false, false]);
  show(<ChangeDialog first={c} attributes={[]} run={() => Promise.reject(new Error())} onClose={() => {}} onDone={() => {}} />);
  expect(await screen.findByText('Some records can be mended only by hand: change them first.')).toBeTruthy();
  expect(screen.queryByRole('button', { name: /Change/ })).toBeNull();
});

it('a removed attribute comes back after a look at what returns', async () => {
  const back = { ...change(), report: { records: 3, checked: 3, rewritten: 2, broken: 0, attributes: { colour: { converted: 0, removed: 0, restored: 2, problems: [] } } } };
  const asked = host({
    'GET /cmdb/models/gadget/removed': () => ({ items: [{ name: 'colour', title: 'Colour', kind: 'text', removed_by: 'ada', removed_at: at, values: 2 }], next_cursor: null, total: null }),
    'POST /cmdb/models/gadget/removed/colour/restore': (_, init) => (JSON.parse(init.body as string).dry_run ? back : { ...back, state: 'done', dry_run: false }),
  });
  show(<RemovedPanel model={model} />, { permissions: ['cmdb.read', 'cmdb.model'] });
  await userEvent.click(await screen.findByRole('button', { name: 'Bring back colour' }));
  expect(await screen.findByText(/2 values come back/)).toBeTruthy();
  await userEvent.click(screen.getByRole('button', { name: 'Change the model' }));
  await waitFor(() => expect(asked.filter((a) => a.method === 'POST').map((a) => JSON.parse(a.body as string).dry_run)).toEqual([true, false]));
});
