import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it } from 'vitest';
import type { Model } from '../../api/types';
import { host, show } from '../../test/page';
import Health from './Health';
import Reviews from './Reviews';
import { toCheck } from './RuleDialog';
import { SourcesPanel } from './SourcesPanel';

const model: Model = {
  name: 'host',
  title: 'Host',
  group: 'resources',
  builtin: true,
  version: 1,
  display: 'hostname',
  attributes: [
    { name: 'hostname', title: 'Host name', kind: 'text' },
    { name: 'memory', title: 'Memory', kind: 'integer' },
  ],
};
const at = '2026-01-01T00:00:00Z';
const said = (source: string, value: number | string, counts: boolean) => ({ source, value, at, counts, stale: source === 'import' });
const found = {
  sources: [{ source: 'agent', external_id: null, first_seen: at, last_seen: at, stale: false, vanished_at: null }, { source: 'import', external_id: null, first_seen: at, last_seen: at, stale: true, vanished_at: null }],
  attributes: [
    { attribute: 'hostname', conflict: false, values: [said('agent', 'web1', true)] },
    { attribute: 'memory', conflict: true, values: [said('agent', 64, true), said('import', 32, false)] },
  ],
};

it('a record shows what its sources say otherwise, and the rest on demand', async () => {
  const asked = host({ 'GET /cmdb/models/host/instances/h/sources': () => found, 'DELETE /cmdb/models/host/instances/h/sources/import': () => ({}) });
  show(<SourcesPanel model={model} id="h" />, { permissions: ['cmdb.read', 'cmdb.write'] });
  expect(await screen.findByText('64')).toBeTruthy();
  expect(screen.getByText('32')).toBeTruthy();
  expect(screen.queryByText('web1')).toBeNull();
  await userEvent.click(screen.getByRole('button', { name: 'Show all values' }));
  expect(screen.getByText('web1')).toBeTruthy();
  await userEvent.click(screen.getByRole('button', { name: 'Withdraw what “Import” says of Memory' }));
  await userEvent.click(await screen.findByRole('button', { name: 'OK' }));
  await waitFor(() => expect(asked.some((a) => a.method === 'DELETE' && a.url.searchParams.get('attribute') === 'memory')).toBe(true));
});

it('who may not write sees no way to withdraw', async () => {
  host({ 'GET /cmdb/models/host/instances/h/sources': () => found });
  show(<SourcesPanel model={model} id="h" />, { permissions: ['cmdb.read'] });
  expect(await screen.findByText('64')).toBeTruthy();
  expect(screen.queryByRole('button', { name: /Withdraw/ })).toBeNull();
});

it('a record that waits is merged into the one that was chosen, with a reason', async () => {
  const review = { id: 'r', source: 'vcenter', model: 'host', external_id: 'vm-3', attributes: { hostname: 'twin', memory: 8 }, reason: 'ambiguous', candidates: ['a', 'b'], state: 'open', record: null, note: null, decided_by: null, created_at: at, updated_at: at };
  const record = (id: string, memory: number) => ({ id, model: 'host', label: `twin ${id}`, version: 1, attributes: { hostname: 'twin', memory }, created_at: at, updated_at: at });
  const asked = host({
    'GET /cmdb/reviews': () => ({ items: [review], next_cursor: null, total: 1 }),
    'GET /cmdb/models/host': () => model,
    'GET /cmdb/models/host/instances/a': () => record('a', 4),
    'GET /cmdb/models/host/instances/b': () => record('b', 8),
    'POST /cmdb/reviews/r/decision': () => ({ ...review, state: 'merged' }),
  });
  show(<Reviews />, { permissions: ['cmdb.read', 'cmdb.write'], path: '/sources/reviews', route: '/sources/reviews' });
  await userEvent.click(await screen.findByRole('button', { name: 'twin' }));
  expect(await screen.findByRole('link', { name: 'twin a' })).toBeTruthy();
  await userEvent.type(screen.getByLabelText('Reason'), 'asked them');
  await userEvent.click(screen.getByRole('button', { name: 'Merge into it' }));
  await waitFor(() => expect(asked.some((a) => a.method === 'POST')).toBe(true));
  expect(JSON.parse(String(asked.find((a) => a.method === 'POST')?.body))).toEqual({ decision: 'merge', record: 'a', note: 'asked them' });
});

it('the page shows scores, leads to what is wrong, and mends after a look', async () => {
  const score = (scope: string, name: string, n: number) => ({ scope, name, label: name, day: '2026-01-01', score: n, records: 3 });
  const finding = { rule: 'env', model: 'host', record: 'h', label: 'web1', owner: null, detail: { attributes: ['env'], value: ' PROD', expected: 'prod, test', repairable: true }, since: at };
  const asked = host({
    'GET /cmdb/health': () => ({ run: { id: 'r', state: 'done', started_by: 'ada', created_at: at, finished_at: at, records: 3, error: null }, scores: [score('all', '', 87), score('model', 'host', 61)] }),
    'GET /cmdb/health/trend': () => ({ items: [score('all', '', 80), { ...score('all', '', 87), day: '2026-01-02' }], next_cursor: null, total: null }),
    'GET /cmdb/health/rules': () => ({ items: [{ id: 'env', title: 'Environments', models: ['host'], check: { kind: 'standard' }, weight: 1, enabled: true, builtin: false, findings: 1 }], next_cursor: null, total: 1 }),
    'GET /cmdb/health/findings': () => ({ items: [finding], next_cursor: null, total: null }),
    'POST /cmdb/health/repair': () => ({ before: { env: ' PROD' }, after: { env: 'prod' }, merged: null }),
  });
  show(<Health />, { permissions: ['cmdb.read', 'cmdb.write'], path: '/health', route: '/health' });
  expect(await screen.findByText('All records: 87')).toBeTruthy();
  expect(await screen.findByText('“ PROD”, expected prod, test', { normalizer: (x) => x })).toBeTruthy();
  await userEvent.click(screen.getByRole('button', { name: 'Environments' }));
  await waitFor(() => expect(asked.some((a) => a.url.pathname.endsWith('/findings') && a.url.searchParams.get('rule') === 'env')).toBe(true));
  await userEvent.click(await screen.findByRole('button', { name: 'Repair web1' }));
  await userEvent.click(await screen.findByRole('button', { name: 'Repair' }));
  await waitFor(() => expect(asked.filter((a) => a.method === 'POST').map((a) => (JSON.parse(String(a.body)) as { dry_run: boolean }).dry_run)).toEqual([true, false]));
});

it('a rule keeps what its form does not show', () => {
  const draft = { id: 'c', title: 'C', models: [], weight: 1, enabled: true, needs: ['owner'], backward: false, attributes: ['a', 'b'], way: 'one_of' as const, one_of: ['x'], attribute: 'a' };
  expect(toCheck({ ...draft, kind: 'completeness' }, { kind: 'completeness', attributes: { a: 5, z: 2 } })).toEqual({ kind: 'completeness', attributes: { a: 5, b: 1 } });
  expect(toCheck({ ...draft, kind: 'standard' })).toEqual({ kind: 'standard', attribute: 'a', pattern: null, one_of: ['x'], refers_to: null, cel: null });
  expect(toCheck({ ...draft, kind: 'island' })).toEqual({ kind: 'island', associations: false, owner: true, in_use: null });
});
