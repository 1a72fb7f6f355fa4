/** Renders a declared page with the portal's own parts. */
import { Button, Input } from 'antd';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Search } from 'lucide-react';
import { useEffect, useId, useRef, useState } from 'react';
import { onEvent } from '../../api/events';
import { toProblem } from '../../api/client';
import type { Json, Plugin, PluginPage } from '../../api/types';
import { Icon, Loading, Note, PageHead, Panel, ProblemNote } from '../../components/base';
import Markdown from '../../components/Markdown';
import { check, defaults, isObject, SchemaForm, type FieldError } from '../../components/SchemaForm';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { ChartBlock, DetailBlock, EmptyBlock, LogBlock, StepsBlock, TimelineBlock, TreeBlock } from './blocks';
import { typeMatches } from './bridge';
import { parsePage, pick, rowsOf, type Block, type PageSpec } from './declared';
import { grantedTypes } from './grant';
import { ActionButton, Cell, LinkedCell, numeric, rowKey, useDo, useSource } from './parts';

export default function DeclaredPage({ plugin, page }: { plugin: Plugin; page: PluginPage; path: string }) {
  const { t, tl } = useI18n();
  const client = useQueryClient();
  const spec = useQuery({
    queryKey: ['plugin-page', page.url],
    queryFn: async () => {
      const response = await fetch(page.url);
      if (!response.ok) throw await toProblem(response);
      return parsePage(await response.json());
    },
    staleTime: Infinity,
  });
  const refresh = spec.data && !('wrong' in spec.data) ? spec.data.refresh : undefined;
  useEffect(() => {
    const events = refresh?.events;
    if (!events?.length) return;
    const granted = grantedTypes(plugin) ?? [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = onEvent((e) => {
      if (!events.some((w) => typeMatches(w, e.type)) || !granted.some((g) => typeMatches(g, e.type))) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        void client.invalidateQueries({ queryKey: ['plugin-data', plugin.id] });
      }, 300);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [client, plugin, refresh]);
  if (spec.error) return <ProblemNote error={spec.error} />;
  if (!spec.data) return <Loading />;
  if ('wrong' in spec.data) {
    return (
      <Note tone="bad" title={t('plugin.badPage')}>
        <code>{spec.data.wrong}</code>
      </Note>
    );
  }
  const p: PageSpec = spec.data;
  return (
    <div className="page">
      <PageHead title={tl(p.title) || tl(page.title)} />
      {p.blocks.map((b, i) => (
        <BlockView key={i} block={b} plugin={plugin.id} seconds={p.refresh?.seconds} at={String(i)} />
      ))}
    </div>
  );
}

function BlockView({ block, plugin, seconds, at }: { block: Block; plugin: string; seconds?: number; at: string }) {
  switch (block.type) {
    case 'markdown':
      return <MarkdownBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'stat':
      return <StatBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'table':
      return <TableBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'detail':
      return <DetailBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'form':
      return <FormBlock block={block} plugin={plugin} />;
    case 'chart':
      return <ChartBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'tabs':
      return <TabsBlock block={block} plugin={plugin} seconds={seconds} at={at} />;
    case 'steps':
      return <StepsBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'log':
      return <LogBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'timeline':
      return <TimelineBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'tree':
      return <TreeBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'empty':
      return <EmptyBlock block={block} plugin={plugin} />;
    case 'actions':
      return <ActionsBlock block={block} plugin={plugin} />;
  }
}

/** The tab that is open stands in the address; what is in the others is not read until they are. */
function TabsBlock({ block, plugin, seconds, at }: { block: Of<'tabs'>; plugin: string; seconds?: number; at: string }) {
  const { tl } = useI18n();
  const [url, setUrl] = useUrl();
  const id = useId();
  const bar = useRef<HTMLDivElement>(null);
  const key = `tab${at}`;
  const asked = Number(url[key] ?? 0);
  const open = block.items[asked] ? asked : 0;
  const go = (n: number) => {
    const to = (n + block.items.length) % block.items.length;
    setUrl({ [key]: to === 0 ? undefined : String(to) });
    bar.current?.querySelectorAll<HTMLElement>('[role=tab]')[to]?.focus();
  };
  const keys: Record<string, number> = { ArrowRight: open + 1, ArrowLeft: open - 1, Home: 0, End: block.items.length - 1 };
  return (
    <div className="stack">
      <div
        role="tablist"
        ref={bar}
        className="tabs-line"
        onKeyDown={(e) => {
          const to = keys[e.key];
          if (to === undefined) return;
          e.preventDefault();
          go(to);
        }}
      >
        {block.items.map((tab, i) => (
          <button key={i} type="button" role="tab" id={`${id}-${i}`} aria-selected={i === open} aria-controls={`${id}-panel`} tabIndex={i === open ? 0 : -1} onClick={() => go(i)}>
            {tl(tab.title)}
          </button>
        ))}
      </div>
      <div key={open} role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${open}`} className="stack" style={{ gap: 14 }}>
        {(block.items[open]?.blocks ?? []).map((b, j) => (
          <BlockView key={j} block={b} plugin={plugin} seconds={seconds} at={`${at}.${open}.${j}`} />
        ))}
      </div>
    </div>
  );
}

type Of<K extends Block['type']> = Extract<Block, { type: K }>;

function MarkdownBlock({ block, plugin, seconds }: { block: Of<'markdown'>; plugin: string; seconds?: number }) {
  const { tl } = useI18n();
  const data = useSource(plugin, block.source, seconds);
  if (data.error) return <ProblemNote error={data.error} />;
  const text = block.source ? data.data : tl(block.text);
  return (
    <Panel>
      <Markdown text={typeof text === 'string' ? text : isObject(text) ? tl(text as Record<string, string>) : ''} />
    </Panel>
  );
}

function StatBlock({ block, plugin, seconds }: { block: Of<'stat'>; plugin: string; seconds?: number }) {
  const { tl } = useI18n();
  const data = useSource(plugin, block.source, seconds);
  if (data.error) return <ProblemNote error={data.error} retry={() => void data.refetch()} />;
  const stats = (
    <div className="stats">
      {block.items.map((i, n) => (
        <div key={n}>
          <span className="v" style={i.tone ? { color: `var(--p-${i.tone})` } : undefined}>
            {data.data === undefined ? '–' : <Cell value={pick(data.data, i.field)} kind={i.kind} unit={i.unit} />}
          </span>
          <span className="k">{tl(i.label)}</span>
        </div>
      ))}
    </div>
  );
  return tl(block.title) ? <Panel title={tl(block.title)}>{stats}</Panel> : stats;
}

function TableBlock({ block, plugin, seconds }: { block: Of<'table'>; plugin: string; seconds?: number }) {
  const { t, tl } = useI18n();
  const data = useSource(plugin, block.source, seconds);
  const [q, setQ] = useState('');
  const all = rowsOf(data.data);
  const rows = q.trim() ? all.filter((r) => JSON.stringify(r).toLowerCase().includes(q.trim().toLowerCase())) : all;
  return (
    <Panel
      flush
      title={tl(block.title) || undefined}
      actions={block.toolbar?.map((a, i) => (
        <ActionButton key={i} action={a} plugin={plugin} small />
      ))}
    >
      {block.search !== false && all.length > 8 && (
        <div className="list-bar">
          <Input className="search" aria-label={t('list.search')} placeholder={t('list.search')} prefix={<Icon of={Search} />} allowClear value={q} onChange={(e) => setQ(e.target.value)} />
        </div>
      )}
      {data.error ? (
        <div style={{ padding: 12 }}>
          <ProblemNote error={data.error} retry={() => void data.refetch()} />
        </div>
      ) : data.isPending ? (
        <Loading />
      ) : rows.length === 0 ? (
        <div className="empty">
          <strong>{q ? t('list.noMatch') : tl(block.empty) || t('plugin.nothing')}</strong>
        </div>
      ) : (
        <div className="table-wrap">
          <table className="t stacked">
            <thead>
              <tr>
                {block.columns.map((c) => (
                  <th key={c.field} scope="col" className={numeric(c.kind) ? 'num' : undefined}>
                    {tl(c.title) || c.field}
                  </th>
                ))}
                {block.actions && <th scope="col"><span className="vh">{t('action.more')}</span></th>}
              </tr>
            </thead>
            <tbody>
              {rows.map((r, i) => (
                <tr key={rowKey(r, i)}>
                  {block.columns.map((c, j) => (
                    <td key={c.field} data-label={tl(c.title) || c.field} className={[numeric(c.kind) ? 'num' : '', j === 0 ? 'first' : ''].join(' ').trim() || undefined}>
                      <div className="cell">
                        <LinkedCell column={c} row={r} />
                      </div>
                    </td>
                  ))}
                  {block.actions && (
                    <td className="num" data-label="">
                      <span className="row end wrap">
                        {block.actions.map((a, j) => (
                          <ActionButton key={j} action={a} plugin={plugin} record={r} small />
                        ))}
                      </span>
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function FormBlock({ block, plugin }: { block: Of<'form'>; plugin: string }) {
  const { tl } = useI18n();
  const data = useSource(plugin, block.source);
  if (data.error) return <ProblemNote error={data.error} retry={() => void data.refetch()} />;
  if (block.source && data.data === undefined) return <Loading />;
  return (
    <Panel title={tl(block.title) || undefined}>
      <FormBody key={data.dataUpdatedAt} block={block} plugin={plugin} initial={block.source ? (data.data ?? undefined) : undefined} />
    </Panel>
  );
}

function FormBody({ block, plugin, initial }: { block: Of<'form'>; plugin: string; initial: Json | undefined }) {
  const { tl } = useI18n();
  const [value, setValue] = useState<Json | undefined>(initial ?? defaults(block.schema) ?? {});
  const [errors, setErrors] = useState<FieldError[]>([]);
  const run = useDo(plugin, block.submit);
  return (
    <form
      className="stack"
      onSubmit={(e) => {
        e.preventDefault();
        const found = check(block.schema, value);
        setErrors(found);
        if (found.length === 0) run.mutate({ value: value ?? {} });
      }}
    >
      <SchemaForm schema={block.schema} value={value} onChange={setValue} errors={errors} />
      <ProblemNote error={run.error} />
      <div>
        <Button type="primary" htmlType="submit" loading={run.isPending}>
          {tl(block.submit.title)}
        </Button>
      </div>
    </form>
  );
}

function ActionsBlock({ block, plugin }: { block: Of<'actions'>; plugin: string }) {
  const { tl } = useI18n();
  return (
    <Panel title={tl(block.title) || undefined}>
      <div className="row wrap">
        {block.items.map((a, i) => (
          <ActionButton key={i} action={a} plugin={plugin} />
        ))}
      </div>
    </Panel>
  );
}

