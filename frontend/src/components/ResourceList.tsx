/** The one list of the portal: search, filter, facets, columns, sort and paging, all in the URL and on the server. */
import { Button, Checkbox, Input, Popover, Select } from 'antd';
import { keepPreviousData, useQuery, type QueryKey } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { ArrowDown, ArrowUp, ChevronFirst, ChevronLeft, ChevronRight, Columns3, Download, RotateCw, Search } from 'lucide-react';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import type { Attribute, ListParams, Page } from '../api/types';
import { useI18n } from '../i18n';
import { Icon, Loading, ProblemNote } from './base';
import { FilterInput, useDebounced } from './FilterInput';
import { toCsv, saveFile } from './csv';
import { useUrl } from './useUrl';

export interface ListColumn<R> {
  key: string;
  title: string;
  render: (row: R) => ReactNode;
  /** Name for the server's `sort`; no sorting without it. */
  sort?: string;
  /** Not shown until chosen. */
  extra?: boolean;
  num?: boolean;
  /** The value in an export; the column is left out of it when absent. */
  text?: (row: R) => string;
}

export interface Facet {
  param: string;
  title: string;
  options: { value: string; label: string }[];
}

interface Props<R> {
  id: string;
  label: string;
  queryKey: QueryKey;
  load: (params: ListParams & Record<string, string | number | undefined>) => Promise<Page<R>>;
  columns: ListColumn<R>[];
  rowKey: (row: R) => string;
  rowTo?: (row: R) => string | undefined;
  searchable?: boolean;
  filter?: { model: string; attributes: Attribute[] };
  facets?: Facet[];
  toolbar?: ReactNode;
  empty: ReactNode;
  exportName?: string;
  /** Rows can be chosen; `bar` is what can be done with them. */
  select?: { chosen: ReadonlyMap<string, R>; onChange: (chosen: Map<string, R>) => void; name: (row: R) => string; bar: ReactNode };
}

const SIZES = [25, 50, 100, 200, 500];
const MAX_EXPORT = 20_000;
// Cursors only lead forward; the way back is remembered while the portal is open.
const before = new Map<string, string>();

export function nextSort(current: string | undefined, field: string): string {
  if (current === field) return `-${field}`;
  if (current === `-${field}`) return '';
  return field;
}

export function ResourceList<R>(p: Props<R>) {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const navigate = useNavigate();
  const [exporting, setExporting] = useState(false);
  const limit = SIZES.includes(Number(url.limit)) ? Number(url.limit) : 50;
  const params: ListParams & Record<string, string | number | undefined> = {
    search: url.q,
    filter: url.filter,
    sort: url.sort,
    cursor: url.cursor,
    limit,
  };
  for (const f of p.facets ?? []) params[f.param] = url[f.param];

  const query = useQuery({
    queryKey: [...p.queryKey, params],
    queryFn: () => p.load(params),
    placeholderData: keepPreviousData,
  });

  const columnsKey = `plenum.columns.${p.id}`;
  const chosen = url.cols?.split(',') ?? localStorage.getItem(columnsKey)?.split(',');
  const shown = p.columns.filter((c, i) => i === 0 || !c.title || (chosen ? chosen.includes(c.key) : !c.extra));
  const page = query.data;
  const filtered = Boolean(url.q || url.filter || (p.facets ?? []).some((f) => url[f.param]));
  const backKey = `${p.id} ${url.cursor ?? ''}`;

  const choose = (rows: R[], on: boolean) => {
    if (!p.select) return;
    const next = new Map(p.select.chosen);
    for (const row of rows) {
      if (on) next.set(p.rowKey(row), row);
      else next.delete(p.rowKey(row));
    }
    p.select.onChange(next);
  };
  const here = p.select && page ? page.items.filter((row) => p.select?.chosen.has(p.rowKey(row))).length : 0;

  const exportCsv = async () => {
    setExporting(true);
    try {
      const rows: R[] = [];
      let cursor: string | undefined;
      do {
        const next = await p.load({ ...params, cursor, limit: 500 });
        rows.push(...next.items);
        cursor = next.next_cursor ?? undefined;
      } while (cursor && rows.length < MAX_EXPORT);
      const columns = shown.filter((c) => c.text);
      saveFile(`${p.exportName}.csv`, 'text/csv', toCsv([columns.map((c) => c.title), ...rows.map((r) => columns.map((c) => c.text?.(r) ?? ''))]));
    } finally {
      setExporting(false);
    }
  };

  if (page && page.items.length === 0 && !filtered && !url.cursor) {
    return (
      <section className="panel" aria-label={p.label}>
        {p.toolbar && (
          <div className="list-bar" style={{ justifyContent: 'flex-end' }}>
            {p.toolbar}
          </div>
        )}
        {p.empty}
      </section>
    );
  }

  return (
    <section className="panel" aria-label={p.label}>
      <div className="list-bar">
        {p.searchable && <SearchBox value={url.q ?? ''} onChange={(q) => setUrl({ q, cursor: undefined })} />}
        {p.filter && <FilterInput model={p.filter.model} attributes={p.filter.attributes} value={url.filter ?? ''} onApply={(filter) => setUrl({ filter, cursor: undefined }, true)} />}
        {p.facets?.map((f) => (
          <Select
            key={f.param}
            aria-label={f.title}
            placeholder={f.title}
            allowClear
            value={url[f.param] || undefined}
            options={f.options}
            popupMatchSelectWidth={false}
            style={{ minWidth: 120 }}
            onChange={(v?: string) => setUrl({ [f.param]: v, cursor: undefined }, true)}
          />
        ))}
        <div className="row wrap end grow">
          {p.toolbar}
          {p.exportName && (
            <button type="button" className="icon-btn" aria-label={t('list.export')} title={t('list.export')} disabled={exporting} onClick={() => void exportCsv()}>
              <Icon of={Download} />
            </button>
          )}
          <Popover
            trigger="click"
            placement="bottomRight"
            content={
              <div className="stack tight" style={{ maxHeight: 360, overflow: 'auto' }}>
                <Checkbox.Group
                  className="stack tight"
                  value={shown.map((c) => c.key)}
                  options={p.columns.slice(1).filter((c) => c.title).map((c) => ({ value: c.key, label: c.title }))}
                  onChange={(keys) => {
                    localStorage.setItem(columnsKey, keys.join(','));
                    setUrl({ cols: keys.length ? keys.join(',') : '-' });
                  }}
                />
                <Button
                  size="small"
                  onClick={() => {
                    localStorage.removeItem(columnsKey);
                    setUrl({ cols: undefined });
                  }}
                >
                  {t('list.defaultColumns')}
                </Button>
              </div>
            }
          >
            <button type="button" className="icon-btn" aria-label={t('list.columns')} title={t('list.columns')}>
              <Icon of={Columns3} />
            </button>
          </Popover>
          <button type="button" className="icon-btn" aria-label={t('list.refresh')} title={t('list.refresh')} onClick={() => void query.refetch()}>
            <Icon of={RotateCw} />
          </button>
        </div>
      </div>
      {p.select && p.select.chosen.size > 0 && (
        <div className="list-bar" style={{ alignItems: 'center' }} role="group" aria-label={t('list.chosen', { n: p.select.chosen.size })}>
          <strong aria-live="polite">{t('list.chosen', { n: p.select.chosen.size })}</strong>
          {p.select.bar}
          <Button type="text" onClick={() => p.select?.onChange(new Map())}>
            {t('list.chooseNone')}
          </Button>
        </div>
      )}
      {query.error ? (
        <div style={{ padding: 12 }}>
          <ProblemNote error={query.error} retry={() => void query.refetch()} />
        </div>
      ) : !page ? (
        <Loading />
      ) : page.items.length === 0 ? (
        <div className="empty">
          <strong>{t('list.noMatch')}</strong>
          <p>{t('list.noMatchText')}</p>
          <div className="acts">
            <Button onClick={() => setUrl({ q: undefined, filter: undefined, cursor: undefined, ...Object.fromEntries((p.facets ?? []).map((f) => [f.param, undefined])) })}>
              {t('list.clear')}
            </Button>
          </div>
        </div>
      ) : (
        <div className="table-wrap" aria-busy={query.isPlaceholderData}>
          <table className="t stacked" aria-label={p.label}>
            <thead>
              <tr>
                {shown.map((c, i) => (
                  <th
                    key={c.key}
                    scope="col"
                    className={c.num ? 'num' : undefined}
                    aria-sort={url.sort === c.sort && c.sort ? 'ascending' : url.sort === `-${c.sort}` ? 'descending' : undefined}
                  >
                    {p.select && i === 0 && (
                      <Checkbox
                        className="pick"
                        aria-label={t('list.chooseAll')}
                        checked={here > 0 && here === page.items.length}
                        indeterminate={here > 0 && here < page.items.length}
                        onChange={(e) => choose(page.items, e.target.checked)}
                      />
                    )}
                    {c.sort ? (
                      <button type="button" onClick={() => setUrl({ sort: nextSort(url.sort, c.sort ?? ''), cursor: undefined })}>
                        {c.title}
                        {url.sort === c.sort && <Icon of={ArrowUp} />}
                        {url.sort === `-${c.sort}` && <Icon of={ArrowDown} />}
                      </button>
                    ) : (
                      c.title || <span className="vh">{t('list.actions')}</span>
                    )}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody style={query.isPlaceholderData ? { opacity: 0.6 } : undefined}>
              {page.items.map((row) => {
                const to = p.rowTo?.(row);
                return (
                  <tr
                    key={p.rowKey(row)}
                    className={to ? 'go' : undefined}
                    onClick={(e) => {
                      // Links, buttons and selected text keep their own meaning.
                      if (!to || (e.target as HTMLElement).closest('a,button,input,label') || window.getSelection()?.toString()) return;
                      if (e.metaKey || e.ctrlKey) window.open(to, '_blank', 'noopener');
                      else void navigate({ to });
                    }}
                  >
                    {shown.map((c, i) => {
                      const content = c.render(row);
                      const empty = content === null || content === undefined || content === '';
                      return (
                        <td key={c.key} data-label={c.title} className={[c.num ? 'num' : '', i === 0 ? 'first' : '', empty ? 'void' : ''].join(' ').trim() || undefined}>
                          <div className={p.select && i === 0 ? 'cell picked' : 'cell'}>
                            {p.select && i === 0 && (
                              <Checkbox className="pick" aria-label={t('list.choose', { name: p.select.name(row) })} checked={p.select.chosen.has(p.rowKey(row))} onChange={(e) => choose([row], e.target.checked)} />
                            )}
                            {content}
                          </div>
                        </td>
                      );
                    })}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
      {page && page.items.length > 0 && (
        <div className="list-foot">
          <span>{page.total == null ? t('list.shown', { n: page.items.length }) : t('list.shownOf', { n: page.items.length, total: page.total })}</span>
          <span className="grow" />
          <Select
            aria-label={t('list.pageSize')}
            size="small"
            value={limit}
            options={SIZES.map((n) => ({ value: n, label: t('list.perPage', { n }) }))}
            popupMatchSelectWidth={false}
            onChange={(n) => setUrl({ limit: n === 50 ? undefined : String(n), cursor: undefined })}
          />
          <Button size="small" type="text" aria-label={t('list.first')} disabled={!url.cursor} icon={<Icon of={ChevronFirst} />} onClick={() => setUrl({ cursor: undefined }, true)} />
          <Button
            size="small"
            type="text"
            aria-label={t('list.previous')}
            disabled={!url.cursor || !before.has(backKey)}
            icon={<Icon of={ChevronLeft} />}
            onClick={() => setUrl({ cursor: before.get(backKey) || undefined }, true)}
          />
          <Button
            size="small"
            type="text"
            aria-label={t('list.next')}
            disabled={!page.next_cursor}
            icon={<Icon of={ChevronRight} />}
            onClick={() => {
              before.set(`${p.id} ${page.next_cursor}`, url.cursor ?? '');
              setUrl({ cursor: page.next_cursor ?? undefined }, true);
            }}
          />
        </div>
      )}
    </section>
  );
}

function SearchBox({ value, onChange }: { value: string; onChange: (q: string) => void }) {
  const { t } = useI18n();
  const [text, setText] = useState(value);
  const settled = useDebounced(text, 250);
  const sent = useRef(value);
  useEffect(() => {
    if (settled === sent.current) return;
    sent.current = settled;
    onChange(settled);
  }, [settled, onChange]);
  useEffect(() => {
    // The URL changed under us: a link, Back, or "clear".
    if (value !== sent.current) {
      sent.current = value;
      setText(value);
    }
  }, [value]);
  return (
    <Input
      className="search"
      aria-label={t('list.search')}
      placeholder={t('list.search')}
      prefix={<Icon of={Search} />}
      allowClear
      value={text}
      onChange={(e) => setText(e.target.value)}
    />
  );
}
