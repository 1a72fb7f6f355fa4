import { describe, expect, it } from 'vitest';
import type { Attribute, Json, Model, Plugin, Task } from '../api/types';
import { isCurrent, pluginEntries } from '../layout/nav';
import { matchesWords } from '../layout/Palette';
import { settingsSchema } from './apps/AppDetail';
import { differences } from './cmdb/History';
import { fromInput, toInput, writable } from './cmdb/InstanceForm';
import { defaultColumns } from './cmdb/Instances';
import { chartRows, fillJson, fillPath, logLines, moment, parsePage, part, pick, rowsOf } from './plugin/declared';
import { grantedTypes } from './plugin/grant';
import { roundOf, taskTree, visible } from './workflows/taskTree';
import { lineOf } from './workflows/yamlLines';

describe('workflow runs', () => {
  const task = (id: number, parent: number | null, path = `/do/${id}`) => ({ id, parent, path, name: `t${id}` }) as Task;
  it('are a tree in the order of beginning', () => {
    const tree = taskTree([task(3, 2), task(1, null), task(2, null), task(4, 3), task(5, 99)]);
    expect(tree.map((n) => n.task.id)).toEqual([1, 2, 5]);
    expect(visible(tree, new Set()).map((n) => [n.task.id, n.depth])).toEqual([[1, 0], [2, 0], [3, 1], [4, 2], [5, 0]]);
    expect(visible(tree, new Set([2])).map((n) => n.task.id)).toEqual([1, 2, 5]);
  });
  it('know the innermost round', () => {
    expect(roundOf('/do/1/a/each[3]/do/0/b')).toBe(3);
    expect(roundOf('/do/1/a/each[3]/do/0/b/each[0]/do/1/c')).toBe(0);
    expect(roundOf('/do/1/hosts[12]/do/0/check')).toBe(12);
    expect(roundOf('/do/1/t/try[2]/0/c')).toBeNull();
    expect(roundOf('/do/1')).toBeNull();
  });
});

describe('pointers lead to lines', () => {
  const yaml = 'document:\n  dsl: 1.0.0\ndo:\n  - plan:\n      call: x\n  - ask:\n      with:\n        name: n\n';
  it.each([
    ['', 1],
    ['/document/dsl', 2],
    ['/do', 3],
    ['/do/0/plan', 4],
    ['/do/1/ask/with/name', 8],
    ['/do/1/ask/missing/deep', 6],
    ['/do/7', 3],
  ])('%s', (pointer, line) => {
    expect(lineOf(yaml, pointer)).toBe(line);
  });
  it('in JSON too, and in text that is neither', () => {
    expect(lineOf('{\n "do": [\n  {"a/b": 1}\n ]\n}', '/do/0/a~1b')).toBe(3);
    expect(lineOf(': : :\n- [', '/do/0')).toBe(1);
  });
});

describe('CMDB', () => {
  const a = (name: string, kind: Attribute['kind'] = 'text'): Attribute => ({ name, title: name, kind });
  it('shows what people look for first', () => {
    const model = { display: 'hostname', attributes: ['hostname', ...'abcdefghij', 'status', 'env'].map((n) => a(n)).concat(a('disks', 'table')) } as Model;
    const shown = defaultColumns(model);
    expect([...shown].slice(0, 2)).toEqual(['status', 'env']);
    expect(shown.size).toBe(8);
    expect(shown.has('hostname') || shown.has('disks')).toBe(false);
  });
  it('lets a machine without an agent be entered by hand', () => {
    const hostname = { ...a('hostname'), editable: false };
    expect([writable(hostname, true), writable(hostname, false)]).toEqual([true, false]);
    expect(writable({ ...a('node_id'), editable: false }, true)).toBe(false);
    expect(writable({ ...a('disks', 'table'), editable: false }, true)).toBe(false);
    expect(writable(a('owner'), false)).toBe(true);
  });
  it('finds what a change changed', () => {
    expect(differences({ a: 1, b: [1], c: 'x' }, { a: 1, b: [1, 2], d: null }).map((d) => d.name)).toEqual(['b', 'c']);
    expect(differences(null, { a: 1 })).toHaveLength(1);
  });
  it('reads inputs back as values', () => {
    expect(fromInput(a('t', 'table'), toInput(a('t', 'table'), [{ x: 1 }]))).toEqual([{ x: 1 }]);
    expect(fromInput(a('n', 'integer'), 4)).toBe(4);
    expect(fromInput(a('s'), '')).toBeNull();
    expect(fromInput(a('at', 'timestamp'), toInput(a('at', 'timestamp'), '2026-01-02T03:04:05.000Z'))).toBe('2026-01-02T03:04:05.000Z');
    expect(() => fromInput(a('j', 'json'), '{')).toThrow(SyntaxError);
  });
});

describe('declared pages', () => {
  it('take values by name and by pointer', () => {
    expect(pick({ a: { 'b/c': [1, 2] } }, '/a/b~1c/1')).toBe(2);
    expect(pick({ a: 1 }, 'a')).toBe(1);
    expect(pick([1], '/x/y')).toBeUndefined();
  });
  it('fill paths so that a value is never a way elsewhere', () => {
    expect(fillPath('/items/{id}/x', { id: '../../users' })).toBe('/items/..%2F..%2Fusers/x');
    expect(fillPath('/items/{missing}', {})).toBe('/items/');
  });
  it('fill inputs and keep the types', () => {
    expect(fillJson({ id: '{id}', text: 'no {id}', list: ['{ok}'], n: 1 }, { id: 7, ok: true })).toEqual({ id: 7, text: 'no 7', list: [true], n: 1 });
  });
  it('say what their author has to mend', () => {
    expect(parsePage({ blocks: [] })).toEqual({ blocks: [] });
    expect(parsePage(null)).toEqual({ wrong: '/blocks: a list of blocks is needed' });
    expect(parsePage({ blocks: [{ type: 'diagram' }] })).toHaveProperty('wrong', expect.stringContaining('/blocks/0/type'));
    expect(parsePage({ blocks: [{ type: 'table', columns: [] }] })).toHaveProperty('wrong', expect.stringContaining('/blocks/0/source'));
  });
});

describe('plugins', () => {
  const plugin = (over: Partial<Plugin>) => ({ id: 'p', status: 'active', pages: [{ id: 'main', title: 'Main', kind: 'framed', url: '/x', icon: null }], granted: {}, ...over }) as Plugin;
  it('are in the navigation while they run', () => {
    expect(pluginEntries([plugin({}), plugin({ id: 'q', status: 'disabled' })]).map((e) => e.to)).toEqual(['/app/p/main']);
  });
  it('read events as granted', () => {
    expect(grantedTypes(plugin({}))).toBeNull();
    expect(grantedTypes(plugin({ granted: { 'events.read': {} } }))).toEqual(['*']);
    expect(grantedTypes(plugin({ granted: { 'events.read': { types: ['plenum.job.*'] } } }))).toEqual(['plenum.job.*']);
    expect(grantedTypes(plugin({ granted: JSON.parse('{"__proto__": {}}') as Plugin['granted'] }))).toBeNull();
  });
  it('have their settings as a form', () => {
    expect(settingsSchema([{ name: 'k', type: 'string', secret: true, required: true }, { name: 'l', type: 'string', options: ['a'] }])).toMatchObject({ required: ['k'], properties: { k: { writeOnly: true }, l: { enum: ['a'] } } });
  });
});

describe('navigation', () => {
  it('knows where one is', () => {
    expect(isCurrent({ to: '/', title: 'nav.home', icon: null as never, exact: true }, '/jobs')).toBe(false);
    expect(isCurrent({ to: '/workflows', title: 'nav.workflows', icon: null as never, also: ['/runs'] }, '/runs/1')).toBe(true);
    expect(isCurrent({ to: '/job', title: 'nav.jobs', icon: null as never }, '/jobs')).toBe(false);
  });
  it('is searched by all words', () => {
    expect(matchesWords('Run a script /jobs/run', 'script RUN')).toBe(true);
    expect(matchesWords('Run a script', 'script x')).toBe(false);
  });
});

describe('blocks of declared pages', () => {
  const wrong = (blocks: unknown[]) => {
    const page = parsePage({ blocks });
    return 'wrong' in page ? page.wrong : null;
  };
  it('name what is missing, however deep it lies', () => {
    expect(wrong([{ type: 'chart', source: '/x', series: [] }])).toBe('/blocks/0/x: the field along the axis is needed');
    expect(wrong([{ type: 'detail', source: '/x' }])).toBe('/blocks/0/fields: a list is needed');
    expect(wrong([{ type: 'tree' }])).toMatch(/^\/blocks\/0\/source/);
    expect(wrong([{ type: 'tabs', items: [{ title: 'a', blocks: [{ type: 'empty' }] }] }])).toBe('/blocks/0/items/0/blocks/0/title: a text is needed');
    expect(wrong([{ type: 'tabs', items: [{ title: 'a' }] }])).toBe('/blocks/0/items/0/blocks: a list of blocks is needed');
  });
  it('refuse tabs without end', () => {
    const nest = (n: number): unknown => (n === 0 ? { type: 'markdown', text: 'x' } : { type: 'tabs', items: [{ title: 't', blocks: [nest(n - 1)] }] });
    expect(wrong([nest(2)])).toBeNull();
    expect(wrong([nest(3)])).toMatch(/2 deep/);
  });
  it('draw a chart in the order of its axis, and leave gaps', () => {
    const spec = { type: 'chart', source: '/x', x: 'at', x_kind: 'time', series: [{ label: 'v', field: 'v' }, { label: 'w', field: '/deep/w' }] } as const;
    const data: Json = { items: [{ at: 2000, v: 2, deep: { w: 7 } }, { at: '1970-01-01T00:00:01Z', v: null }, { at: 'never', v: 9 }] };
    expect(chartRows(data, { ...spec, series: [...spec.series] })).toEqual([{ x: 1000, values: [null, null] }, { x: 2000, values: [2, 7] }]);
    const words = chartRows([{ at: 'b', v: 1 }, { at: 'a', v: 2 }], { ...spec, x_kind: 'text', series: [spec.series[0]] });
    expect(words.map((r) => r.x)).toEqual(['b', 'a']);
  });
  it('read a log from a text, texts or lines', () => {
    expect(logLines('one\ntwo\n').map((l) => l.message)).toEqual(['one', 'two']);
    expect(logLines(['a']).map((l) => l.message)).toEqual(['a']);
    expect(logLines([{ ts: 0, msg: 'm', level: 'warn' }], { at: 'ts', message: 'msg' })[0]).toMatchObject({ at: '1970-01-01T00:00:00.000Z', level: 'warn', message: 'm' });
    expect(logLines(Array.from({ length: 3000 }, (_, i) => String(i))).length).toBe(2000);
    expect(logLines(null)).toEqual([]);
  });
  it('take words under their own names or the page’s, and refuse moments that are none', () => {
    expect([part({ title: 'a' }, 'title', undefined), part({ d: { n: 'b' } }, 'title', { title: '/d/n' }), part('c', 'title', undefined), part('c', 'text', undefined)]).toEqual(['a', 'b', 'c', undefined]);
    expect([moment('x'), moment(1e300), moment(0)]).toEqual([undefined, undefined, '1970-01-01T00:00:00.000Z']);
    expect([rowsOf(null), rowsOf({ items: [1] }), rowsOf([2]), rowsOf('x')]).toEqual([[], [1], [2], []]);
  });
});
