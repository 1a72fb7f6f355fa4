/** Renders a declared page with the portal's own parts. */
import { App, Button, Input, Modal } from 'antd';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Search } from 'lucide-react';
import { useEffect, useState } from 'react';
import { onEvent } from '../../api/events';
import { toProblem } from '../../api/client';
import type { Json, Plugin, PluginPage } from '../../api/types';
import { Clip, Icon, JsonView, Loading, Note, PageHead, Panel, ProblemNote, Status, Time } from '../../components/base';
import { bytes, duration, quantity } from '../../components/format';
import Markdown from '../../components/Markdown';
import { check, defaults, isObject, SchemaForm, type FieldError, type Schema } from '../../components/SchemaForm';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { typeMatches } from './bridge';
import { act, fillPath, parsePage, pick, read, type ActionSpec, type Block, type CellKind, type ColumnSpec, type PageSpec, type Source } from './declared';
import { grantedTypes } from './grant';
import { portalPath } from './path';

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
        <BlockView key={i} block={b} plugin={plugin.id} seconds={p.refresh?.seconds} />
      ))}
    </div>
  );
}

function useSource(plugin: string, source: Source | undefined, seconds?: number) {
  return useQuery({
    queryKey: ['plugin-data', plugin, JSON.stringify(source ?? null)],
    queryFn: async () => (await read(plugin, source ?? '/')) ?? null,
    enabled: source !== undefined,
    refetchInterval: seconds ? Math.max(5, seconds) * 1000 : false,
    retry: false,
  });
}

function BlockView({ block, plugin, seconds }: { block: Block; plugin: string; seconds?: number }) {
  switch (block.type) {
    case 'markdown':
      return <MarkdownBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'stat':
      return <StatBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'table':
      return <TableBlock block={block} plugin={plugin} seconds={seconds} />;
    case 'form':
      return <FormBlock block={block} plugin={plugin} />;
    case 'actions':
      return <ActionsBlock block={block} plugin={plugin} />;
  }
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
  return (
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
}

function TableBlock({ block, plugin, seconds }: { block: Of<'table'>; plugin: string; seconds?: number }) {
  const { t, tl } = useI18n();
  const data = useSource(plugin, block.source, seconds);
  const [q, setQ] = useState('');
  const all = Array.isArray(data.data) ? data.data : isObject(data.data) && Array.isArray(data.data.items) ? data.data.items : [];
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

function rowKey(r: Json, i: number): string {
  return isObject(r) && (typeof r.id === 'string' || typeof r.id === 'number') ? String(r.id) : String(i);
}

function numeric(kind: CellKind | undefined): boolean {
  return kind === 'number' || kind === 'bytes' || kind === 'duration';
}

function LinkedCell({ column, row }: { column: ColumnSpec; row: Json }) {
  const cell = <Cell value={pick(row, column.field)} kind={column.kind} unit={column.unit} />;
  const to = column.link ? portalPath(fillPath(column.link, row)) : null;
  return to ? <Link to={to}>{cell}</Link> : cell;
}

function Cell({ value, kind, unit }: { value: Json | undefined; kind?: CellKind; unit?: string }) {
  const { t, tl, locale } = useI18n();
  if (value === null || value === undefined || value === '') return <span className="faint">—</span>;
  switch (kind) {
    case 'number':
      return <>{typeof value === 'number' ? quantity(value, unit, locale) : String(value)}</>;
    case 'bytes':
      return <>{typeof value === 'number' ? bytes(value) : String(value)}</>;
    case 'duration':
      return <>{typeof value === 'number' ? duration(value) : String(value)}</>;
    case 'time':
      return <Time at={typeof value === 'number' ? new Date(value).toISOString() : String(value)} />;
    case 'status':
      return <Status value={String(value)} />;
    case 'boolean':
      return <>{value ? t('value.yes') : t('value.no')}</>;
    case 'code':
      return <code>{String(value)}</code>;
    case 'json':
      return <JsonView value={value} />;
    default:
      return typeof value === 'object' ? <Clip width={360}>{isObject(value) && ('en' in value || 'zh' in value) ? tl(value as Record<string, string>) : JSON.stringify(value)}</Clip> : <Clip width={360}>{String(value)}</Clip>;
  }
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

interface Given {
  record?: Json;
  value?: Json;
}

function useDo(plugin: string, a: ActionSpec) {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  return useAct<Given, Json>({
    run: ({ record, value }) => act(plugin, a, record, value),
    done: tl(a.done) || t('plugin.done'),
    stale: [['plugin-data', plugin]],
    quiet: true,
    then: (answer) => {
      const to = a.then ? portalPath(fillPath(a.then, answer)) : null;
      if (to) void navigate({ to: to as never });
    },
  });
}

function ActionButton({ action, plugin, record, small }: { action: ActionSpec; plugin: string; record?: Json; small?: boolean }) {
  const { tl } = useI18n();
  const { modal } = App.useApp();
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const run = useDo(plugin, action);
  const go = () => run.mutateAsync({ record }).catch(setProblem);
  return (
    <>
      <Button
        size={small ? 'small' : 'middle'}
        type={action.style === 'primary' ? 'primary' : 'default'}
        danger={action.style === 'danger'}
        loading={run.isPending}
        onClick={() => {
          setProblem(null);
          if (action.form) setAsking(true);
          else if (tl(action.confirm)) modal.confirm({ title: tl(action.confirm), okText: tl(action.title), okButtonProps: { danger: action.style === 'danger' }, onOk: go });
          else void go();
        }}
      >
        {tl(action.title)}
      </Button>
      {problem ? (
        <Modal open onCancel={() => setProblem(null)} footer={null} title={tl(action.title)}>
          <ProblemNote error={problem} />
        </Modal>
      ) : null}
      {asking && action.form && <FormDialog action={action} schema={action.form} run={run} record={record} onClose={() => setAsking(false)} />}
    </>
  );
}

function FormDialog({ action, schema, run, record, onClose }: { action: ActionSpec; schema: Schema; run: ReturnType<typeof useDo>; record?: Json; onClose: () => void }) {
  const { tl } = useI18n();
  const [value, setValue] = useState<Json | undefined>(() => {
    const start = defaults(schema) ?? {};
    // Fields of the record fill the form's fields of the same name.
    if (!isObject(record) || !isObject(start)) return start;
    const own = Object.fromEntries(Object.entries(record).filter(([k]) => schema.properties && k in schema.properties));
    return { ...start, ...own };
  });
  const [errors, setErrors] = useState<FieldError[]>([]);
  return (
    <Modal
      open
      onCancel={onClose}
      title={tl(action.title)}
      okText={tl(action.title)}
      confirmLoading={run.isPending}
      onOk={() => {
        const found = check(schema, value);
        setErrors(found);
        if (found.length === 0) run.mutate({ record, value: value ?? {} }, { onSuccess: onClose });
      }}
    >
      <div className="stack">
        {tl(action.confirm) && <p>{tl(action.confirm)}</p>}
        <SchemaForm schema={schema} value={value} onChange={setValue} errors={errors} />
        <ProblemNote error={run.error} />
      </div>
    </Modal>
  );
}
