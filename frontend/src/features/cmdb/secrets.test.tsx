import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it } from 'vitest';
import type { Model } from '../../api/types';
import { host, show } from '../../test/page';
import { SecretsPanel } from './SecretsPanel';

const model: Model = { name: 'gadget', title: 'Gadget', group: 'other', builtin: false, version: 1, display: 'name', attributes: [{ name: 'name', title: 'Name', kind: 'text' }, { name: 'password', title: 'Password', kind: 'secret' }] };
const at = '2026-01-01T00:00:00Z';

it('a secret is revealed after a reason, and nothing shows it before', async () => {
  const asked = host({
    'GET /cmdb/models/gadget/instances/g/secrets': () => ({ items: [{ attribute: 'password', set: true, set_by: 'ada', set_at: at }], next_cursor: null, total: null }),
    'POST /cmdb/models/gadget/instances/g/secrets/password/reveal': () => ({ value: 'hunter2' }),
  });
  show(<SecretsPanel model={model} id="g" />, { permissions: ['cmdb.read', 'cmdb.secret'] });
  await userEvent.click(await screen.findByRole('button', { name: 'Reveal Password' }));
  expect(screen.queryByRole('button', { name: 'Replace Password' })).toBeNull();
  await userEvent.type(await screen.findByLabelText('Why it has to be seen'), 'restore of the backup');
  const buttons = screen.getAllByRole('button', { name: 'Reveal Password' });
  await userEvent.click(buttons[buttons.length - 1] as HTMLElement);
  expect(await screen.findByText('hunter2')).toBeTruthy();
  await waitFor(() => expect(asked.filter((a) => a.method === 'POST').map((a) => JSON.parse(a.body as string))).toEqual([{ reason: 'restore of the backup' }]));
});

it('who may write sets it, and cannot see it', async () => {
  const asked = host({
    'GET /cmdb/models/gadget/instances/g/secrets': () => ({ items: [{ attribute: 'password', set: false, set_by: null, set_at: null }], next_cursor: null, total: null }),
    'PUT /cmdb/models/gadget/instances/g/secrets/password': () => ({}),
  });
  show(<SecretsPanel model={model} id="g" />, { permissions: ['cmdb.read', 'cmdb.write'] });
  expect(await screen.findByText('not set')).toBeTruthy();
  expect(screen.queryByRole('button', { name: /Reveal/ })).toBeNull();
  await userEvent.click(screen.getByRole('button', { name: 'Set Password' }));
  await userEvent.type(await screen.findByLabelText('New value'), 'hunter2');
  await userEvent.click(screen.getByRole('button', { name: 'Save' }));
  await waitFor(() => expect(asked.some((a) => a.method === 'PUT' && a.body === '{"value":"hunter2"}')).toBe(true));
});
