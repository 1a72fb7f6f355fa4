/** The blocks of a declared page that show: detail, chart, steps, log, timeline, tree, and the empty state. */
import { Link } from '@tanstack/react-router';
import { Inbox } from 'lucide-react';
import type { ReactNode } from 'react';
import type { Json } from '../../api/types';
import { Chart } from '../../components/Chart';
import { Empty, Loading, Panel, ProblemNote, Status, Time, toneOf } from '../../components/base';
import { bytes, duration, quantity } from '../../components/format';
import { useI18n, type Text } from '../../i18n';
import { LogLines } from '../apps/AppLogs';
import { chartRows, fillPath, logLines, moment, part, rowsOf, type Block, type Fields, type SeriesSpec } from './declared';
import { ActionButton, LinkedCell, useSource, useWords } from './parts';
import { portalPath } from './path';

type Of<K extends Block['type']> = Extract<Block, { type: K }>;
interface Props<K extends Block['type']> {
  block: Of<K>;
  plugin: string;
  seconds?: number;
}

/** A panel with what its source says; or why it says nothing. */
function Shown({ title, empty, data, isEmpty, flush, children, actions }: { title?: Text; empty?: Text; data: ReturnType<typeof useSource>; isEmpty?: boolean; flush?: boolean; children: () => ReactNode; actions?: ReactNode }) {
  const { t, tl } = useI18n();
  const bare = Boolean(data.error) || data.isPending || isEmpty;
  return (
    <Panel title={tl(title) || undefined} flush={flush || bare} actions={actions}>
      {data.error ? (
        <div style={{ padding: 12 }}>
          <ProblemNote error={data.error} retry={() => void data.refetch()} />
        </div>
      ) : data.isPending ? (
        <Loading />
      ) : isEmpty ? (
        <div className="empty">
          <strong>{tl(empty) || t('plugin.nothing')}</strong>
        </div>
      ) : (
        children()
      )}
    </Panel>
  );
}

export function DetailBlock({ block, plugin, seconds }: Props<'detail'>) {
  const { tl } = useI18n();
  const data = useSource(plugin, block.source, seconds);
  const record = data.data ?? null;
  return (
    <Shown
      title={block.title}
      data={data}
      isEmpty={record === null}
      actions={record === null ? undefined : block.actions?.map((a, i) => <ActionButton key={i} action={a} plugin={plugin} record={record} small />)}
    >
      {() => (
        <dl className="kv">
          {block.fields.map((f) => (
            <div key={f.field}>
              <dt>{tl(f.title) || f.field}</dt>
              <dd>
                <LinkedCell column={f} row={record} />
              </dd>
            </div>
          ))}
        </dl>
      )}
    </Shown>
  );
}

export function ChartBlock({ block, plugin, seconds }: Props<'chart'>) {
  const { t, tl, locale } = useI18n();
  const data = useSource(plugin, block.source, seconds);
  const rows = chartRows(data.data ?? undefined, block);
  const format = (v: number, s: SeriesSpec | undefined) => (s?.kind === 'bytes' ? bytes(v) : s?.kind === 'duration' ? duration(v) : quantity(v, s?.unit, locale));
  return (
    <Shown title={block.title} empty={block.empty} data={data} isEmpty={rows.every((r) => r.values.every((v) => v === null))}>
      {() => (
        <Chart
          label={tl(block.title) || t('plugin.chart')}
          kind={block.kind}
          x={block.x_kind ?? 'text'}
          height={Math.min(600, Math.max(80, block.height ?? 180))}
          series={block.series.map((s) => ({ label: tl(s.label), tone: s.tone }))}
          rows={rows}
          format={(v, i) => format(v, block.series[i])}
        />
      )}
    </Shown>
  );
}

export function StepsBlock({ block, plugin, seconds }: Props<'steps'>) {
  const words = useWords();
  const data = useSource(plugin, block.source, seconds);
  const rows = rowsOf(data.data ?? undefined);
  return (
    <Shown title={block.title} empty={block.empty} data={data} isEmpty={rows.length === 0}>
      {() => (
        <ol className="steps">
          {rows.map((r, i) => {
            const status = words(part(r, 'status', block.fields));
            return (
              <li key={i} className={toneOf(status) === 'ok' ? 'done' : undefined} aria-current={status === 'running' || status === 'waiting' ? 'step' : undefined}>
                <div className="grow">
                  <strong>{words(part(r, 'title', block.fields))}</strong>
                  <Said row={r} fields={block.fields} />
                </div>
                {status && <Status value={status} />}
              </li>
            );
          })}
        </ol>
      )}
    </Shown>
  );
}

export function LogBlock({ block, plugin, seconds }: Props<'log'>) {
  const { t, tl } = useI18n();
  const data = useSource(plugin, block.source, seconds);
  const lines = logLines(data.data ?? undefined, block.fields).filter((l) => l.message || l.at);
  return (
    <Shown title={block.title} empty={block.empty} data={data} isEmpty={lines.length === 0} flush>
      {() => <LogLines items={lines} label={tl(block.title) || t('apps.logs')} tall />}
    </Shown>
  );
}

export function TimelineBlock({ block, plugin, seconds }: Props<'timeline'>) {
  const words = useWords();
  const data = useSource(plugin, block.source, seconds);
  const rows = rowsOf(data.data ?? undefined);
  return (
    <Shown title={block.title} empty={block.empty} data={data} isEmpty={rows.length === 0}>
      {() => (
        <ol className="timeline">
          {rows.map((r, i) => {
            const status = words(part(r, 'status', block.fields));
            const by = words(part(r, 'by', block.fields));
            return (
              <li key={i} style={status ? { ['--mark' as string]: `var(--p-${toneOf(status)})` } : undefined}>
                <div className="row wrap" style={{ gap: '0 10px' }}>
                  <strong>
                    <Titled row={r} title={words(part(r, 'title', block.fields))} link={block.link} />
                  </strong>
                  {status && <Status value={status} still />}
                  <span className="dim">
                    <Time at={moment(part(r, 'at', block.fields))} /> {by}
                  </span>
                </div>
                <Said row={r} fields={block.fields} />
              </li>
            );
          })}
        </ol>
      )}
    </Shown>
  );
}

export function TreeBlock({ block, plugin, seconds }: Props<'tree'>) {
  const data = useSource(plugin, block.source, seconds);
  const rows = rowsOf(data.data ?? undefined);
  return (
    <Shown title={block.title} empty={block.empty} data={data} isEmpty={rows.length === 0}>
      {() => <Branch rows={rows} block={block} depth={0} />}
    </Shown>
  );
}

/** Twelve levels are drawn: an answer is a stranger's, and could hold any number. */
function Branch({ rows, block, depth }: { rows: Json[]; block: Of<'tree'>; depth: number }) {
  const words = useWords();
  return (
    <ul className="tree">
      {rows.map((r, i) => {
        const children = depth < 12 ? rowsOf(part(r, 'children', block.fields)) : [];
        const status = words(part(r, 'status', block.fields));
        const line = (
          <span className="row wrap" style={{ gap: '0 10px', display: 'inline-flex' }}>
            <Titled row={r} title={words(part(r, 'title', block.fields))} link={block.link} />
            {status && <Status value={status} still />}
            <span className="dim">{words(part(r, 'text', block.fields))}</span>
          </span>
        );
        return (
          <li key={i}>
            {children.length > 0 ? (
              <details open={depth < 2}>
                <summary>{line}</summary>
                <Branch rows={children} block={block} depth={depth + 1} />
              </details>
            ) : (
              <span className="leaf">{line}</span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function Titled({ row, title, link }: { row: Json; title: string; link?: string }) {
  const to = link ? portalPath(fillPath(link, row)) : null;
  return to ? <Link to={to}>{title}</Link> : <>{title}</>;
}

function Said({ row, fields }: { row: Json; fields?: Fields }) {
  const words = useWords();
  const text = words(part(row, 'text', fields));
  return text ? <p className="dim" style={{ overflowWrap: 'anywhere' }}>{text}</p> : null;
}

export function EmptyBlock({ block, plugin }: { block: Of<'empty'>; plugin: string }) {
  const { tl } = useI18n();
  return (
    <Panel flush>
      <Empty icon={Inbox} title={tl(block.title)} text={tl(block.text)}>
        {block.actions?.map((a, i) => <ActionButton key={i} action={a} plugin={plugin} />)}
      </Empty>
    </Panel>
  );
}
