import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createMemoryHistory, createRootRoute, createRoute, createRouter, RouterProvider } from '@tanstack/react-router';
import { render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import axe from 'axe-core';
import { useState, type ReactNode } from 'react';
import { describe, expect, it, vi } from 'vitest';
import { Problem } from '../api/client';
import type { Json, Page } from '../api/types';
import { I18nProvider, type Locale } from '../i18n';
import { parseSearch, stringifySearch } from '../router';
import { ThemeProvider } from '../theme';
import { Permissions } from '../features/catalog/Permissions';
import { ProblemNote, Status, Time } from './base';
import { toCsv } from './csv';
import { applyHint, FilterMessage } from './FilterInput';
import { bytes, duration, quantity, relativeTime } from './format';
import Markdown from './Markdown';
import { nextSort, ResourceList, type ListColumn } from './ResourceList';
import { check, defaults, SchemaForm, type Schema } from './SchemaForm';

function show(ui: ReactNode, { path = '/', locale = 'en' as Locale } = {}) {
  const root = createRootRoute();
  const index = createRoute({ getParentRoute: () => root, path: '/', component: () => ui });
  const other = createRoute({ getParentRoute: () => root, path: '/there/$id', component: () => <p>there</p> });
  const history = createMemoryHistory({ initialEntries: [path] });
  const router = createRouter({ routeTree: root.addChildren([index, other]), history, parseSearch, stringifySearch });
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const view = render(
    <QueryClientProvider client={client}>
      <I18nProvider locale={locale}>
        <ThemeProvider>
          <RouterProvider router={router as never} />
        </ThemeProvider>
      </I18nProvider>
    </QueryClientProvider>,
  );
  return { ...view, router };
}

/** What axe finds, without what only a layout engine can say. */
async function violations(node: Element) {
  const r = await axe.run(node, { rules: { 'color-contrast': { enabled: false }, region: { enabled: false } } });
  return r.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ')}`);
}

interface Row {
  id: string;
  name: string;
  size: number;
}
const columns: ListColumn<Row>[] = [
  { key: 'name', title: 'Name', sort: 'name', text: (r) => r.name, render: (r) => r.name },
  { key: 'size', title: 'Size', num: true, text: (r) => String(r.size), render: (r) => r.size },
  { key: 'extra', title: 'Extra', extra: true, render: () => 'hidden' },
];
const page = (n: number, next: string | null = null): Page<Row> => ({ items: Array.from({ length: n }, (_, i) => ({ id: `r${i}`, name: `row ${i}`, size: i })), next_cursor: next, total: 120 });

function List({ load }: { load: (p: Record<string, unknown>) => Promise<Page<Row>> }) {
  return <ResourceList<Row> id="test" label="Rows" queryKey={['rows']} load={load} columns={columns} rowKey={(r) => r.id} rowTo={(r) => `/there/${r.id}`} searchable facets={[{ param: 'state', title: 'State', options: [{ value: 'on', label: 'On' }] }]} empty={<p>nothing yet, do this next</p>} />;
}

describe('the list', () => {
  it('asks the server for what the URL says', async () => {
    const load = vi.fn(() => Promise.resolve(page(3, 'c2')));
    show(<List load={load} />, { path: '/?q=web&sort=-name&limit=25&state=on&filter=a+%3D%3D+1&cursor=c1' });
    await screen.findByText('row 0');
    expect(load).toHaveBeenCalledWith({ search: 'web', filter: 'a == 1', sort: '-name', cursor: 'c1', limit: 25, state: 'on' });
    expect(screen.getByRole('columnheader', { name: 'Name' }).getAttribute('aria-sort')).toBe('descending');
    expect(screen.queryByText('hidden')).toBeNull();
  });
  it('writes sort, search and page into the URL, and can go back', async () => {
    const load = vi.fn((p: Record<string, unknown>) => Promise.resolve(page(3, p.cursor ? null : 'c2')));
    const { router } = show(<List load={load} />);
    await screen.findByText('row 0');
    await userEvent.click(screen.getByRole('button', { name: 'Name' }));
    await waitFor(() => expect(router.state.location.searchStr).toBe('?sort=name'));
    await userEvent.click(screen.getByRole('button', { name: 'Next page' }));
    await waitFor(() => expect(router.state.location.searchStr).toBe('?sort=name&cursor=c2'));
    await waitFor(() => expect((screen.getByRole('button', { name: 'Next page' }) as HTMLButtonElement).disabled).toBe(true));
    await userEvent.click(screen.getByRole('button', { name: 'Previous page' }));
    await waitFor(() => expect(router.state.location.searchStr).toBe('?sort=name'));
    await userEvent.type(screen.getByRole('textbox', { name: 'Search' }), 'db');
    await waitFor(() => expect(load).toHaveBeenLastCalledWith(expect.objectContaining({ search: 'db' })));
  });
  it('says what to do next when it is empty, and how to see more when nothing matches', async () => {
    const none = () => Promise.resolve({ items: [], next_cursor: null, total: 0 });
    const first = show(<List load={none} />);
    await screen.findByText('nothing yet, do this next');
    first.unmount();
    show(<List load={none} />, { path: '/?q=zzz' });
    await screen.findByText('Nothing matches');
    expect(screen.getByRole('button', { name: 'Clear search and filter' })).toBeTruthy();
  });
  it('shows what the host said when it fails', async () => {
    show(<List load={() => Promise.reject(new Problem({ title: 'Not allowed', detail: 'the role viewer does not include audit.read', code: 'access.denied' }, 403))} />);
    const alert = await screen.findByRole('alert');
    expect(alert.textContent).toContain('the role viewer does not include audit.read');
    expect(alert.textContent).toContain('access.denied');
  });
  it('is accessible', async () => {
    const { container } = show(<List load={() => Promise.resolve(page(3))} />);
    await screen.findByText('row 0');
    expect(await violations(container)).toEqual([]);
  });
  it('sorts up, down and not at all', () => {
    expect([undefined, 'a', '-a', 'b'].map((s) => nextSort(s, 'a'))).toEqual(['a', '-a', '', 'a']);
  });
});

describe('a filter’s answer', () => {
  it('counts, or points to what is wrong and offers the cure', async () => {
    const fix = vi.fn();
    const filter = 'cpu > 2 && os_idd == "x"';
    show(<FilterMessage filter={filter} check={{ ok: false, error: { message: 'There is no field os_idd.', position: 11, hint: 'os_id' } }} onFix={fix} />);
    expect((await screen.findByText(/\^/)).textContent).toBe(`${filter}\n${' '.repeat(11)}^`);
    await userEvent.click(screen.getByRole('button', { name: /os_id/ }));
    expect(fix).toHaveBeenCalledWith('cpu > 2 && os_id == "x"');
  });
  it('takes a hint only where it fits', () => {
    expect(applyHint('a == 1', 0, 'b')).toBe('b == 1');
    expect(applyHint('a == 1', 2, 'b')).toBeNull();
    expect(applyHint('a == 1', 0, 'write it as "x"')).toBeNull();
  });
});

describe('a form from a schema', () => {
  const schema: Schema = {
    type: 'object',
    required: ['name'],
    properties: {
      name: { type: 'string', title: { en: 'Name', zh: '名称' }, pattern: '^[a-z]+$' },
      count: { type: 'integer', minimum: 1, maximum: 9, default: 3 },
      on: { type: 'boolean', title: 'On' },
      nested: { type: 'object', title: 'Nested', properties: { deep: { type: 'string', title: 'Deep', default: 'd' } } },
      rows: { type: 'array', title: 'Rows', items: { type: 'object', properties: { key: { type: 'string', title: 'Key' } } } },
    },
  };
  it('starts from the defaults', () => {
    expect(defaults(schema)).toEqual({ count: 3, nested: { deep: 'd' } });
  });
  it('says what is wrong before the host is asked', () => {
    expect(check(schema, { count: 12 }).map((e) => [e.pointer, e.key])).toEqual([
      ['/name', 'form.required'],
      ['/count', 'form.tooLarge'],
    ]);
    expect(check(schema, { name: 'A1' })[0]?.key).toBe('form.pattern');
    expect(check(schema, { name: 'ok', count: 1 })).toEqual([]);
  });
  it('collects the value', async () => {
    let value: Json | undefined;
    function Holder() {
      const [v, set] = useState<Json | undefined>(defaults(schema));
      value = v;
      return <SchemaForm schema={schema} value={v} onChange={set} errors={check(schema, v)} />;
    }
    const { container } = show(<Holder />);
    await userEvent.type(await screen.findByRole('textbox', { name: /Name/ }), 'abc');
    await userEvent.click(screen.getByRole('switch', { name: 'On' }));
    await userEvent.click(screen.getByRole('button', { name: 'Add' }));
    await userEvent.type(screen.getByRole('textbox', { name: 'Key' }), 'k');
    expect(value).toEqual({ name: 'abc', count: 3, on: true, nested: { deep: 'd' }, rows: [{ key: 'k' }] });
    expect(await violations(container)).toEqual([]);
  });
});

describe('permissions', () => {
  it('are named in words, with reason and reach, and can be taken away', async () => {
    const change = vi.fn();
    const { container } = show(<Permissions asked={[{ name: 'cmdb.read', scope: { models: ['host'] }, reason: { en: 'Finds targets.', zh: '查找目标。' } }, { name: 'made.up', reason: 'Because.' }]} granted={['cmdb.read', 'made.up']} onChange={change} />, { locale: 'zh' });
    expect(await screen.findByText('查找目标。')).toBeTruthy();
    expect(screen.getByText('host')).toBeTruthy();
    await userEvent.click(screen.getByRole('checkbox', { name: '读取配置数据' }));
    expect(change).toHaveBeenCalledWith(['made.up']);
    expect(await violations(container)).toEqual([]);
  });
});

describe('small things', () => {
  it('states have words in both languages', async () => {
    show(<Status value="timed_out" />, { locale: 'zh' });
    expect(await screen.findByText('超时')).toBeTruthy();
  });
  it('times are relative, with the moment itself in the markup', async () => {
    show(<Time at="2020-01-01T00:00:00Z" />);
    const time = await screen.findByText(/yr ago|years? ago/);
    expect(time.getAttribute('datetime')).toBe('2020-01-01T00:00:00Z');
  });
  it('a problem shows everything that is wrong', async () => {
    show(<ProblemNote error={new Problem({ title: 'The workflow is not valid', errors: [{ pointer: '/do/0', detail: 'what is it?' }] }, 422)} />);
    expect(within(await screen.findByRole('alert')).getByText('/do/0')).toBeTruthy();
  });
  it('markdown makes no HTML and follows no script', async () => {
    const { container } = show(<Markdown text={'# Hi\n\n<img src=x onerror=alert(1)> **bold** [a](javascript:alert(1)) [b](https://example.com) [c](//evil.example) [d](/jobs)'} />);
    expect(await screen.findByText('bold')).toBeTruthy();
    expect(container.querySelector('img')).toBeNull();
    expect([...container.querySelectorAll('a')].map((a) => a.getAttribute('href'))).toEqual(['https://example.com', '/jobs']);
  });
  it('numbers have their units', () => {
    expect(bytes(0)).toBe('0 B');
    expect(bytes(1536)).toBe('1.5 KiB');
    expect(bytes(null)).toBe('—');
    expect(duration(12)).toBe('12 ms');
    expect(duration(0.312)).toBe('0.31 ms');
    expect(duration(1500)).toBe('1.5 s');
    expect(duration(3_725_000)).toBe('1 h 2 min');
    expect(quantity(1024, 'bytes', 'en')).toBe('1.0 KiB');
    expect(quantity(1234.5, 'U', 'en')).toBe('1,234.5 U');
    expect(relativeTime(new Date(0), 3_600_000 * 3, 'zh')).toBe('3小时前');
  });
  it('exports are CSV without formulas', () => {
    expect(toCsv([['a', 'b"c', 'd,e'], ['=1+1', '-5', '-x']])).toBe('\uFEFFa,"b""c","d,e"\r\n\'=1+1,-5,\'-x\r\n');
  });
  it('URLs are short, readable and survive a round trip', () => {
    const search = { q: '123', filter: 'a == "b" && c', empty: '' };
    expect(stringifySearch(search)).toBe('?q=123&filter=a+%3D%3D+%22b%22+%26%26+c');
    expect(parseSearch(stringifySearch(search))).toEqual({ q: '123', filter: 'a == "b" && c' });
  });
});
