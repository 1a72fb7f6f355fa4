import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { Attribute, AttributeKind, BulkAnswer, Change, Graph, Instance as Item, Model } from '../../api/types';
import { translate } from '../../i18n';
import { host, show as showAt } from '../../test/page';
import { fit, layout, NODE_HEIGHT } from './graphLayout';
import { restorable } from './History';
import { usualKey, importable, ImportDrawer } from './ImportDrawer';
import Instance from './Instance';
import { fromInput, InstanceForm, toInput } from './InstanceForm';
import { rulesOf } from './ModelEditor';
import { rowProblem } from './rowProblem';
import { formed, single, wrong } from './rules';

// What browsers have and jsdom lacks.
Blob.prototype.arrayBuffer ??= function (this: Blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result as ArrayBuffer);
    reader.onerror = () => failed(new Error('not read'));
    reader.readAsArrayBuffer(this);
  });
};

const a = (name: string, kind: AttributeKind = 'text', more: Partial<Attribute> = {}): Attribute => ({ name, title: name, kind, ...more });

describe('kinds and rules', () => {
  it.each<[AttributeKind, string[], string[]]>([
    ['ip', ['10.0.0.1', '::1', 'fe80::1', '::ffff:10.0.0.1', '1:2:3:4:5:6:7:8'], ['10.0.0.256', '010.0.0.1', 'host', '', '1:2:3', '::1::', '1:2:3:4:5:6:7:8:9']],
    ['cidr', ['10.1.0.0/16', '0.0.0.0/0', '10.0.0.1/32', '2001:db8::/32', '::/0', '10.128.0.0/9'], ['10.1.2.3/16', '10.0.0.0', '10.0.0.0/33', '10.0.0.0/016', '::/129', '2001:db8::1/64', '10.128.0.0/8']],
    ['mac', ['52:54:00:12:34:56', 'AA:bb:00:12:34:56'], ['52-54-00-12-34-56', '52:54:00:12:34', 'zz:54:00:12:34:56']],
    ['url', ['https://a.example/x?y', 'http://a'], ['ftp://a', 'https://', 'http:///x', 'https://a b', 'javascript:alert(1)']],
  ])('%s has the form that the host asks for', (kind, good, bad) => {
    for (const text of good) expect(formed(kind, text), text).toBe(true);
    for (const text of bad) expect(formed(kind, text), text).toBe(false);
  });
  it('bound numbers, and the length of texts in characters', () => {
    expect(wrong(a('n', 'integer', { min: 1, max: 5 }), 6)).toEqual({ what: 'tooLarge', n: 5 });
    expect(wrong(a('n', 'decimal', { min: 0 }), -0.5)).toEqual({ what: 'tooSmall', n: 0 });
    expect(wrong(a('s', 'text', { min: 3 }), '中文')).toEqual({ what: 'tooShort', n: 3 });
    expect(wrong(a('s', 'text', { max: 2 }), '𠮷𠮷')).toBeNull();
    expect(wrong(a('s', 'text', { max: 2 }), 'abc')).toEqual({ what: 'tooLong', n: 2 });
    expect(wrong(a('ip', 'ip'), ' 10.0.0.1 ')).toBeNull();
    expect(wrong(a('ip', 'ip'), '10.0.0')).toEqual({ what: 'form', n: '10.1.0.7' });
    expect(wrong(a('s', 'text', { min: 3 }), '')).toBeNull();
  });
  it('never run a pattern here, where it could stop the page', () => {
    const at = performance.now();
    expect(wrong(a('s', 'text', { pattern: '^(a+)+$' }), `${'a'.repeat(60)}!`)).toBeNull();
    expect(performance.now() - at).toBeLessThan(1000);
  });
  it('are read back from inputs as values', () => {
    expect(fromInput(a('d', 'date'), toInput(a('d', 'date'), '2026-01-31'))).toBe('2026-01-31');
    expect(fromInput(a('m', 'multi_enum'), [])).toBeNull();
    expect(fromInput(a('m', 'multi_enum'), ['x'])).toEqual(['x']);
    expect(fromInput(a('ip', 'ip'), ' ::1 ')).toBe('::1');
    expect([single('cidr'), single('multi_enum')]).toEqual([true, false]);
  });
  it('are kept of an attribute as far as its kind has them', () => {
    const all = { pattern: '^x', min: 1, max: 9 };
    expect(rulesOf({ kind: 'text', ...all, default: 'xy' })).toEqual({ ...all, default: 'xy' });
    expect(rulesOf({ kind: 'integer', ...all, default: 0 })).toEqual({ min: 1, max: 9, default: 0 });
    expect(rulesOf({ kind: 'boolean', ...all, default: false })).toEqual({ default: false });
    expect(rulesOf({ kind: 'multi_enum', ...all, default: [] })).toEqual({});
    expect(rulesOf({ kind: 'text', pattern: '', min: null, max: undefined, default: '' })).toEqual({});
    expect(rulesOf({ kind: 'table' }, a('t', 'table', { default: [{ x: 1 }] }))).toEqual({ default: [{ x: 1 }] });
  });
});

describe('files', () => {
  const answer = (more: Partial<BulkAnswer>): BulkAnswer => ({ kept: false, created: 0, updated: 0, unchanged: 0, deleted: 0, failed: 0, rows: [], ...more });
  it('are told apart by the first unique key, else by the name', () => {
    expect(usualKey({ unique: [['site', 'rack'], ['serial']], display: 'name' })).toEqual(['site', 'rack']);
    expect(usualKey({ unique: [], display: 'name' })).toEqual(['name']);
    expect(usualKey({ display: 'name' })).toEqual(['name']);
  });
  it('are not recognised by what only an agent knows', () => {
    expect(usualKey({ unique: [['node_id'], ['serial']], display: 'hostname' })).toEqual(['serial']);
    expect(usualKey({ unique: [['site', 'host_id']], display: 'hostname' })).toEqual(['hostname']);
  });
  it('are worth importing when they change something', () => {
    expect(importable(answer({ created: 1 }), true)).toBe(true);
    expect(importable(answer({ updated: 1, failed: 1 }), false)).toBe(true);
    expect(importable(answer({ updated: 1, failed: 1 }), true)).toBe(false);
    expect(importable(answer({ unchanged: 9 }), false)).toBe(false);
  });
});

describe('what is wrong with a row', () => {
  const said = (detail: string, attribute = 'vlan', title = 'VLAN 编号') => rowProblem({ attribute, detail }, a(attribute), (key, values) => translate('zh', key, values), title);
  it.each([
    ['vlan has to be a whole number, and is "1.5"', 'VLAN 编号须为整数，实际为 "1.5"'],
    ['vlan has to be at most 4094', 'VLAN 编号须为不大于 4094 的值'],
    ['vlan has to be at most 12 characters', 'VLAN 编号须为至多 12 个字符'],
    ['vlan has to be text that matches ^[A-Z]{3}-[0-9]+$', 'VLAN 编号须为符合 ^[A-Z]{3}-[0-9]+$ 的文本'],
    ['vlan has to be a list of some of dmz, core, edge', 'VLAN 编号须为以下选项中的若干项：dmz, core, edge'],
    ['vlan is in the key, so the row needs it', 'VLAN 编号用于识别记录，此行不能为空'],
    ['the row has 9 cells, and the first line 7', '此行有 9 个单元格，而首行有 7 个'],
    ['there is no host nope; it may have been deleted', '不存在记录 nope，可能已被删除'],
  ])('%s is said in Chinese', (detail, chinese) => expect(said(detail)).toBe(chinese));
  it('stays as the host says it where it is not known', () => {
    expect(said('vlan has to be blue')).toBe('vlan has to be blue');
    expect(said('something else')).toBe('something else');
    expect(rowProblem({ attribute: null, detail: null }, undefined, (key) => translate('zh', key), '')).toBe('');
  });
});

describe('the past', () => {
  const change = (version: number, after: Change['after']) => ({ version, after }) as Change;
  it('can be gone back to, but not to what is, nor to a deletion', () => {
    expect([restorable(change(2, { a: 1 }), 3), restorable(change(3, { a: 1 }), 3), restorable(change(4, null), undefined), restorable(change(3, { a: 1 }), undefined)]).toEqual([true, false, false, true]);
  });
});

describe('the map', () => {
  const node = (id: string, depth: number, model = 'host') => ({ id, depth, model, label: id });
  const edge = (from: string, to: string) => ({ id: `${from}-${to}`, kind: 'runs_on', from: ['m', from] as [string, string], to: ['m', to] as [string, string] });
  const many: Graph = { nodes: [node('c', 0), ...Array.from({ length: 30 }, (_, i) => node(`n${i}`, 1)), node('far', 2)], edges: [...Array.from({ length: 30 }, (_, i) => edge(`n${i}`, 'c')), edge('far', 'n7')], truncated: false };
  it.each([340, 820])('keeps within %d pixels, with no box over another', (width) => {
    const l = layout(many, width);
    for (const [i, p] of l.nodes.entries()) {
      expect(p.x >= 0 && p.x + l.nodeWidth <= width && p.y + NODE_HEIGHT <= l.height, p.node.id).toBe(true);
      for (const q of l.nodes.slice(i + 1)) expect(Math.abs(p.x - q.x) >= l.nodeWidth || Math.abs(p.y - q.y) >= NODE_HEIGHT, `${p.node.id} ${q.node.id}`).toBe(true);
    }
    expect(l.nodeWidth).toBeGreaterThan(150);
    expect(l.edges).toHaveLength(31);
  });
  it('has the nearer above, and says what led to each', () => {
    const l = layout(many, 340);
    const at = (id: string) => l.nodes.find((p) => p.node.id === id);
    expect(at('c')!.y < at('n0')!.y && at('n29')!.y < at('far')!.y).toBe(true);
    expect(at('c')!.by).toBeUndefined();
    expect(at('n3')!.by).toMatchObject({ forward: true, edge: { id: 'n3-c' } });
    expect(l.layers.map((x) => [x.depth, x.count])).toEqual([[1, 30], [2, 1]]);
  });
  it('stands under what it hangs on', () => {
    const g: Graph = { nodes: [node('c', 0), node('left', 1), node('right', 1), node('a', 2), node('b', 2)], edges: [edge('left', 'c'), edge('right', 'c'), edge('a', 'right'), edge('b', 'left')], truncated: false };
    const x = (id: string) => layout(g, 820).nodes.find((p) => p.node.id === id)!.x;
    expect(x('b') < x('a')).toBe(true);
  });
  it('leaves out lines to what is not there', () => {
    expect(layout({ nodes: [node('c', 0)], edges: [edge('c', 'gone')], truncated: true }, 300).edges).toEqual([]);
  });
  it('cuts names to their box', () => {
    expect([fit('short', 5), fit('longer', 5), fit('中文名称', 6), fit('中文', 4), fit('', 3)]).toEqual(['short', 'long…', '中文…', '中文', '']);
  });
});

// ---- on the page ----
const model: Model = { name: 'rack', title: 'Rack', group: 'resources', builtin: false, version: 1, display: 'name', attributes: [a('name'), a('units', 'integer', { min: 1, max: 60, default: 42 }), a('notes', 'list')], unique: [['name']] };

const show = (ui: React.ReactNode, permissions = ['cmdb.read', 'cmdb.write']) => showAt(ui, { permissions, path: '/cmdb/rack/r1', route: '/cmdb/$model/$id' });

describe('an import', () => {
  const wrongRow = { row: 3, outcome: 'failed', id: null, label: null, attribute: 'units', code: 'x', detail: 'units has to be a whole number' };
  const path = 'POST /cmdb/models/rack/import';
  const begin = async () => {
    const asked = host({
      [path]: (url) => ({ kept: url.searchParams.get('dry_run') === 'false', created: 2, updated: 1, unchanged: 4, deleted: 0, failed: 1, rows: [wrongRow] }),
    });
    show(<ImportDrawer model={model} open onClose={() => {}} />);
    const check = await screen.findByRole('button', { name: 'Check the file' });
    expect((check as HTMLButtonElement).disabled).toBe(true);
    await userEvent.upload(screen.getByLabelText('File'), new File(['name,units\na,1\n'], 'racks.csv', { type: 'text/csv' }));
    await screen.findByText('racks.csv');
    await userEvent.click(check);
    await screen.findByText('units has to be a whole number');
    await screen.findByText('Line 3');
    return asked;
  };
  it('is checked first, and forgets the check when the choices change', async () => {
    const asked = await begin();
    expect(asked).toHaveLength(1);
    expect(Object.fromEntries(asked[0]!.url.searchParams)).toEqual({ key: 'name', all: 'false', dry_run: 'true' });
    expect(asked[0]!.body).toBeInstanceOf(Blob);

    // All or nothing: what was checked no longer holds, and with a failure nothing can be imported.
    await userEvent.click(screen.getByRole('switch'));
    expect(screen.queryByText('Line 3')).toBeNull();
    await userEvent.click(screen.getByRole('button', { name: 'Check the file' }));
    await screen.findByText('Line 3');
    expect(screen.queryByRole('button', { name: /^Import \d/ })).toBeNull();
  });
  it('is written with a reason', async () => {
    const asked = await begin();
    await userEvent.type(await screen.findByLabelText('Reason for the change'), ' CHG-7 ');
    await userEvent.click(screen.getByRole('button', { name: 'Import 3' }));
    await screen.findByText('Imported');
    await screen.findByText('Rows left out: 1.');
    expect(Object.fromEntries(asked.at(-1)!.url.searchParams)).toEqual({ key: 'name', all: 'false', dry_run: 'false', why: 'CHG-7' });
    expect(screen.queryByRole('button', { name: /^Import \d/ })).toBeNull();
  });
  it('says what the host refuses', async () => {
    host({});
    show(<ImportDrawer model={model} open onClose={() => {}} />);
    await userEvent.upload(await screen.findByLabelText('File'), new File(['x'], 'x.csv'));
    await screen.findByText('x.csv');
    await userEvent.click(screen.getByRole('button', { name: 'Check the file' }));
    await screen.findByText('there is none');
  });
});

describe('a record', () => {
  const record = (version: number): Item => ({ id: 'r1', model: 'rack', label: 'A1', version, attributes: { name: 'A1' }, created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z' });
  const past = (version: number, before: Change['before'], after: Change['after']) => ({ seq: version, version, at: '2026-01-01T00:00:00Z', actor: 'ada', why: null, before, after });
  const page = (items: unknown[]) => ({ items, next_cursor: null, total: null });
  const at = '/cmdb/models/rack/instances/r1';
  const rest = { 'GET /cmdb/models/rack': () => model, 'GET /cmdb/models': () => page([model]), 'GET /cmdb/association-kinds': () => page([]), [`GET ${at}/related`]: () => page([]), [`GET ${at}/graph`]: () => ({ nodes: [{ model: 'rack', id: 'r1', label: 'A1', depth: 0 }, { model: 'host', id: 'h1', label: 'web-01', depth: 1 }], edges: [], truncated: true }) };

  it('that is deleted has a page with its history, and comes back', async () => {
    let there = false;
    const asked = host({ ...rest, [`GET ${at}`]: () => (there ? record(4) : undefined), [`GET ${at}/history`]: () => page([past(3, { name: 'A1' }, null), past(2, { name: 'A0' }, { name: 'A1' })]), [`POST ${at}/restore`]: () => ((there = true), record(4)) });
    show(<Instance />);
    await screen.findByText('This record was deleted');
    expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('A1');
    expect(await screen.findAllByRole('button', { name: 'Restore this version' })).toHaveLength(1);
    await userEvent.click(screen.getByRole('button', { name: 'Restore' }));
    await userEvent.type(await screen.findByLabelText('Reason for the change'), 'a mistake');
    await userEvent.click(screen.getAllByRole('button', { name: 'Restore' }).at(-1)!);
    await screen.findByRole('button', { name: 'Edit' });
    expect(JSON.parse(String(asked.find((x) => x.method === 'POST')!.body))).toEqual({ why: 'a mistake' });
  });
  it('that never was is not found', async () => {
    host({ ...rest, [`GET ${at}/history`]: () => page([]) });
    show(<Instance />);
    await screen.findByText('there is none');
    expect(screen.queryByText('This record was deleted')).toBeNull();
  });
  it('goes back to a version, where one may write', async () => {
    const asked = host({ ...rest, [`GET ${at}`]: () => record(3), [`GET ${at}/history`]: () => page([past(3, { name: 'A1' }, { name: 'A2' }), past(2, { name: 'A0' }, { name: 'A1' })]), [`POST ${at}/restore`]: () => record(4) });
    const view = show(<Instance />);
    await userEvent.click(await screen.findByRole('button', { name: 'Restore this version' }));
    await userEvent.click(screen.getByRole('button', { name: 'Restore' }));
    await waitFor(() => expect(asked.some((x) => x.method === 'POST')).toBe(true));
    expect(JSON.parse(String(asked.find((x) => x.method === 'POST')!.body))).toEqual({ version: 2 });
    view.unmount();
    show(<Instance />, ['cmdb.read']);
    await screen.findAllByText('Changed');
    expect(screen.queryByRole('button', { name: 'Restore this version' })).toBeNull();
  });
  it('has a map whose records are links', async () => {
    const asked = host({ ...rest, [`GET ${at}`]: () => record(3), [`GET ${at}/history`]: () => page([]) });
    show(<Instance />);
    await waitFor(() => expect(document.querySelector('.map a[href="/cmdb/host/h1"] > title')?.textContent).toBe('web-01, host'));
    expect(screen.getByText(/There is more than is shown: the nearest 2/)).toBeTruthy();
    await userEvent.click(screen.getByRole('tab', { name: 'Impact' }));
    await waitFor(() => expect(asked.some((x) => x.url.searchParams.get('walk') === 'impact')).toBe(true));
  });
});

describe('a new record', () => {
  it('begins with defaults, which can be left out', async () => {
    const asked = host({ 'POST /cmdb/models/rack/instances': () => ({ id: 'r2' }) });
    show(<InstanceForm model={model} onDone={() => {}} />);
    await userEvent.type(await screen.findByLabelText('name'), 'B1');
    const units = screen.getByLabelText('units');
    expect((units as HTMLInputElement).value).toBe('42');
    await userEvent.clear(units);
    await userEvent.type(units, '99');
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await screen.findByText('At most 60');
    expect(asked).toHaveLength(0);
    await userEvent.clear(units);
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await waitFor(() => expect(asked).toHaveLength(1));
    expect(JSON.parse(String(asked[0]!.body))).toEqual({ attributes: { name: 'B1', units: null } });
  });
});
