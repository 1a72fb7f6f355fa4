import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { Instance as Item, Model } from '../../api/types';
import { host, show } from '../../test/page';
import { changesOf } from './BulkDrawer';
import Instances from './Instances';

const model: Model = {
  name: 'rack',
  title: 'Rack',
  group: 'resources',
  builtin: false,
  version: 1,
  display: 'name',
  attributes: [
    { name: 'name', title: 'Name', kind: 'text' },
    { name: 'units', title: 'Units', kind: 'integer', max: 60 },
    { name: 'seen', title: 'Seen', kind: 'text', editable: false },
  ],
};
const rack = (id: string, units: number | null): Item => ({ id, model: 'rack', label: id.toUpperCase(), version: 3, attributes: { name: id.toUpperCase(), units }, created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z' });
const racks = [rack('a', 10), rack('b', 42), rack('c', null)];
const row = (id: string, outcome: string, detail: string | null = null) => ({ row: 0, outcome, id, label: id.toUpperCase(), attribute: null, code: null, detail });
const answer = (more: object) => ({ kept: false, created: 0, updated: 0, unchanged: 0, deleted: 0, failed: 0, rows: [], ...more });
const at = { path: '/cmdb/rack', route: '/cmdb/$model' };
const rest = { 'GET /cmdb/models/rack': () => model, 'GET /cmdb/models/rack/instances': () => ({ items: racks, next_cursor: null, total: 3 }) };

it('what would change is known before the host is asked', () => {
  expect(changesOf(racks, { units: 42 }).map((c) => [c.row.id, c.before, c.after])).toEqual([['a', 10, 42], ['c', null, 42]]);
  expect(changesOf(racks, { units: null }).map((c) => c.row.id)).toEqual(['a', 'b']);
});

describe('chosen records', () => {
  it('are changed together, after a look at what would be', async () => {
    const asked = host({
      ...rest,
      'POST /cmdb/models/rack/bulk': (_u, init) =>
        (JSON.parse(String(init.body)) as { dry_run: boolean }).dry_run ? answer({ updated: 1, unchanged: 1, rows: [row('a', 'updated'), row('b', 'unchanged')] }) : answer({ kept: true, updated: 1, unchanged: 1 }),
    });
    show(<Instances />, { ...at, permissions: ['cmdb.read', 'cmdb.write'] });
    await userEvent.click(await screen.findByRole('checkbox', { name: 'Choose A' }));
    await userEvent.click(screen.getByRole('checkbox', { name: 'Choose B' }));
    const bar = screen.getByRole('group', { name: 'Chosen: 2' });
    await userEvent.click(within(bar).getByRole('button', { name: 'Change' }));
    await userEvent.click(await screen.findByLabelText('Attributes to change'));
    expect(screen.queryByTitle('Seen')).toBeNull();
    await userEvent.click(screen.getByTitle('Units'));
    const units = await screen.findByRole('spinbutton', { name: 'Units' });
    await userEvent.type(units, '99');
    await userEvent.click(screen.getByRole('button', { name: 'Preview' }));
    await screen.findByText('At most 60');
    await userEvent.clear(units);
    await userEvent.type(units, '42');
    await userEvent.click(screen.getByRole('button', { name: 'Preview' }));
    await screen.findByText('Nothing has been changed yet');
    await userEvent.type(screen.getByLabelText('Reason for the change'), 'CHG-1');
    await userEvent.click(screen.getByRole('button', { name: 'Change 1' }));
    await screen.findByText('Done');
    const bodies = asked.filter((x) => x.method === 'POST').map((x) => JSON.parse(String(x.body)) as unknown);
    const rows = [{ id: 'a', version: 3, attributes: { units: 42 } }, { id: 'b', version: 3, attributes: { units: 42 } }];
    expect(bodies).toEqual([
      { action: 'update', all: false, dry_run: true, rows },
      { action: 'update', all: false, dry_run: false, rows, why: 'CHG-1' },
    ]);
    await waitFor(() => expect(screen.queryByRole('group', { name: 'Chosen: 2' })).toBeNull());
  });
  it('are deleted together, and what cannot be is named', async () => {
    host({ ...rest, 'POST /cmdb/models/rack/bulk': () => answer({ deleted: 2, failed: 1, rows: [row('c', 'failed', 'it was changed by somebody else')] }) });
    show(<Instances />, { ...at, permissions: ['cmdb.read', 'cmdb.write'] });
    await userEvent.click(await screen.findByRole('checkbox', { name: 'Choose all on this page' }));
    await userEvent.click(within(screen.getByRole('group', { name: 'Chosen: 3' })).getByRole('button', { name: 'Delete' }));
    await userEvent.click(await screen.findByRole('button', { name: 'Preview' }));
    await screen.findByText('it was changed by somebody else');
    expect(screen.getByRole('button', { name: 'Delete 2' })).toBeTruthy();
  });
  it('are none for who may only read', async () => {
    host(rest);
    show(<Instances />, { ...at, permissions: ['cmdb.read'] });
    await screen.findByRole('link', { name: 'A' });
    expect(screen.queryByRole('checkbox')).toBeNull();
  });
});
