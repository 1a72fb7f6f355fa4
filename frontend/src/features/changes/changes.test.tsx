import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it } from 'vitest';
import type { ChangeRequest } from '../../api/changes';
import type { Model } from '../../api/types';
import { host, show } from '../../test/page';
import { applied } from './ApplyDialog';
import Change from './Change';
import Rules from './Rules';

const at = '2026-01-01T00:00:00Z';
const model: Model = { name: 'system', title: 'System', group: 'business', builtin: true, version: 1, display: 'name', attributes: [{ name: 'name', title: 'Name', kind: 'text', required: true }, { name: 'owner', title: 'Owner', kind: 'text' }] };
const change: ChangeRequest = {
  id: 'c',
  state: 'open',
  title: 'Hand over payments',
  reason: 'Bob leaves',
  ticket: null,
  items: [{ act: 'update', model: 'system', id: 's', attributes: { owner: 'eve' }, version: 1, label: 'Payments', before: { owner: 'bob' } }],
  workflow: null,
  run: null,
  needs: [{ rule: 'owners', approvers: ['role:administrator'] }],
  votes: [],
  hash: 'abc',
  requested_by: 'bob',
  mine: true,
  error: null,
  records: [],
  created_at: at,
  updated_at: at,
};

it('who is asked sees before and after, and approves what was shown', async () => {
  const asked = host({ 'GET /cmdb/change-requests/c': () => change, 'GET /cmdb/models/system': () => model, 'POST /cmdb/change-requests/c/decide': () => ({ ...change, state: 'approved' }) });
  show(<Change />, { path: '/changes/c', route: '/changes/$id', permissions: ['cmdb.read'] });
  expect((await screen.findByText('eve')).className).toBe('is');
  expect(screen.getByText('bob', { selector: 'td' }).className).toBe('was');
  await userEvent.type(screen.getByLabelText('Comment'), 'fine');
  await userEvent.click(screen.getByRole('button', { name: 'Approve' }));
  await waitFor(() => expect(asked.filter((a) => a.method === 'POST').map((a) => JSON.parse(a.body as string))).toEqual([{ approve: true, hash: 'abc', comment: 'fine' }]));
});

it('what records held back says so, and its requester asks again', async () => {
  const held = { ...change, state: 'conflict', mine: false, requested_by: 'ada', error: 'cmdb/system/s changed in between' };
  const asked = host({ 'GET /cmdb/change-requests/c': () => held, 'GET /cmdb/models/system': () => model, 'POST /cmdb/change-requests/c/renew': () => change });
  show(<Change />, { path: '/changes/c', route: '/changes/$id', permissions: ['cmdb.read', 'cmdb.write'] });
  expect(await screen.findByText('cmdb/system/s changed in between')).toBeTruthy();
  expect(screen.queryByRole('button', { name: 'Approve' })).toBeNull();
  await userEvent.click(screen.getByRole('button', { name: 'Ask again' }));
  await waitFor(() => expect(asked.some((a) => a.url.pathname.endsWith('/renew'))).toBe(true));
});

it('an application becomes records with names and an owner', () => {
  const a = { model: 'system', count: 2, name: 'app', owner: 'eve', system: 'shop', workflow: 'provide' };
  expect(applied(a, model, 'Two')).toEqual({
    title: 'Two',
    reason: 'shop',
    items: [
      { act: 'create', model: 'system', attributes: { name: 'app-1', owner: 'eve' } },
      { act: 'create', model: 'system', attributes: { name: 'app-2', owner: 'eve' } },
    ],
    workflow: 'provide',
    input: {},
  });
});

it('who may not change models reads the rules only', async () => {
  host({ 'GET /cmdb/change-rules': () => ({ items: [{ name: 'owners', models: ['system'], acts: ['update'], attributes: ['owner'], filter: null, at_least: 1, approvers: ['role:administrator'], enabled: true }], next_cursor: null, total: null }) });
  show(<Rules />, { permissions: ['cmdb.read'] });
  expect(await screen.findByText('role:administrator')).toBeTruthy();
  expect(screen.queryByRole('button')).toBeNull();
});
