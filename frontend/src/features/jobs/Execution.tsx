import { App, Button, Dropdown, Select } from 'antd';
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { Ban, ChevronDown, ChevronRight, RotateCcw } from 'lucide-react';
import { Fragment, useEffect, useMemo, useState } from 'react';
import { BASE } from '../../api/client';
import { api } from '../../api/endpoints';
import { openStream } from '../../api/sse';
import type { Execution as Item, Page, TargetResult } from '../../api/types';
import { Clip, Elapsed, Icon, JsonView, Loading, PageHead, Panel, ProblemNote, Status, Time, Who } from '../../components/base';
import { bytes, duration } from '../../components/format';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { Origin } from './Origin';
import { SummaryBar } from './SummaryBar';
import { TargetOutput, type OutputSignal } from './TargetOutput';

const TARGET_STATES = ['failed', 'timed_out', 'lost', 'rejected', 'cancelled', 'running', 'waiting', 'pending', 'succeeded'] as const;
const PAGE = 100;

type Listener = (node: string, stream: 'stdout' | 'stderr') => void;

/** Follows a running execution: targets and totals go straight into the cache, output is announced to whoever shows it. */
function useLive(id: string, running: boolean): OutputSignal {
  const client = useQueryClient();
  const hub = useMemo(() => {
    const listeners = new Set<Listener>();
    const signal: OutputSignal = {
      listen: (f) => {
        listeners.add(f);
        return () => listeners.delete(f);
      },
    };
    return { listeners, signal };
  }, []);
  useEffect(() => {
    if (!running || !id) return;
    const stop = openStream({
      url: `${BASE}/jobs/executions/${encodeURIComponent(id)}/stream`,
      onMessage: (m) => {
        let data: unknown;
        try {
          data = JSON.parse(m.data);
        } catch {
          return;
        }
        if (m.event === 'output') {
          const o = data as { node_id: string; stream: 'stdout' | 'stderr' };
          hub.listeners.forEach((f) => f(o.node_id, o.stream));
        } else if (m.event === 'target') {
          const result = data as TargetResult;
          client.setQueriesData<Page<TargetResult>>({ queryKey: ['jobs', 'results', id] }, (old) =>
            old ? { ...old, items: old.items.map((r) => (r.node_id === result.node_id ? { ...r, ...result } : r)) } : old,
          );
        } else if (m.event === 'execution') {
          client.setQueryData<Item>(['jobs', 'one', id], data as Item);
        } else if (m.event === 'end') {
          stop();
          void client.invalidateQueries({ queryKey: ['jobs'] });
        }
      },
    });
    return stop;
  }, [client, hub, id, running]);
  return hub.signal;
}

export default function Execution() {
  const { t } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const { modal } = App.useApp();
  const { id = '' } = useParams({ strict: false }) as { id?: string };
  const execution = useQuery({ queryKey: ['jobs', 'one', id], queryFn: () => api.jobs.get(id) });
  const running = execution.data?.status === 'running';
  const signal = useLive(id, running);
  const cancel = useAct({ run: () => api.jobs.cancel(id), done: t('jobs.cancelled'), stale: [['jobs']] });
  if (execution.error) return <ProblemNote error={execution.error} retry={() => void execution.refetch()} />;
  if (!execution.data) return <Loading />;
  const e = execution.data;
  const bad = e.summary.total - e.summary.succeeded - e.summary.running - e.summary.pending - (e.summary.waiting ?? 0);
  const again = (only?: string) => void navigate({ to: '/jobs/run', search: { from: id, only } as never });
  return (
    <div className="page">
      <PageHead
        title={e.name || t('jobs.untitled')}
        crumbs={[{ label: t('nav.jobs'), to: '/jobs' }]}
        sub={
          <>
            <Status value={e.status} />
            <span>
              {t('field.started')} <Time at={e.created_at} />
            </span>
            <span>
              {t('field.duration')} <Elapsed from={e.started_at} to={e.finished_at} ms={e.duration_ms} />
            </span>
            <Who actor={e.created_by} />
            {e.origin && <Origin origin={e.origin} />}
          </>
        }
        actions={
          can('jobs.run') && (
            <>
              {running && (
                <Button
                  danger
                  icon={<Icon of={Ban} />}
                  loading={cancel.isPending}
                  onClick={() =>
                    modal.confirm({
                      title: t('jobs.cancelTitle'),
                      content: t('jobs.cancelText'),
                      okText: t('jobs.cancel'),
                      okButtonProps: { danger: true },
                      cancelText: t('jobs.keepRunning'),
                      onOk: () => cancel.mutateAsync().catch(() => {}),
                    })
                  }
                >
                  {t('jobs.cancel')}
                </Button>
              )}
              {bad > 0 && !running ? (
                <Dropdown menu={{ items: [{ key: 'all', label: t('jobs.againAll'), onClick: () => again() }, { key: 'bad', label: t('jobs.againFailed', { n: bad }), onClick: () => again('failed') }] }} trigger={['click']}>
                  <Button icon={<Icon of={RotateCcw} />}>
                    {t('jobs.again')} <Icon of={ChevronDown} />
                  </Button>
                </Dropdown>
              ) : (
                <Button icon={<Icon of={RotateCcw} />} onClick={() => again()}>
                  {t('jobs.again')}
                </Button>
              )}
            </>
          )
        }
      />
      <Panel>
        <SummaryBar summary={e.summary} />
      </Panel>
      <Results execution={e} signal={signal} />
      <Panel title={t('jobs.what')}>
        <div className="stack">
          <dl className="kv">
            <Pair label={t('jobs.language')}>{e.script.language}</Pair>
            <Pair label={t('jobs.user')}>{e.user ?? t('jobs.agentUser')}</Pair>
            <Pair label={t('jobs.cwd')}>{e.cwd ?? '—'}</Pair>
            <Pair label={t('jobs.timeout')}>{duration(e.timeout_s * 1000)}</Pair>
            <Pair label={t('jobs.concurrency')}>{e.concurrency === 0 ? t('jobs.allAtOnce') : e.concurrency}</Pair>
            <Pair label={t('jobs.args')}>{e.args.length ? <code>{e.args.join(' ')}</code> : '—'}</Pair>
            <Pair label={t('jobs.env')}>{e.env.length ? <code>{e.env.join(', ')}</code> : '—'}</Pair>
            {e.cancelled_by && <Pair label={t('jobs.cancelledBy')}>{e.cancelled_by}</Pair>}
          </dl>
          <JsonView value={e.script.content} />
        </div>
      </Panel>
    </div>
  );
}

function Pair({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Results({ execution: e, signal }: { execution: Item; signal: OutputSignal }) {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const [cursors, setCursors] = useState<string[]>([]);
  const cursor = cursors.at(-1);
  const status = url.status;
  const results = useQuery({
    queryKey: ['jobs', 'results', e.id, status ?? '', cursor ?? ''],
    queryFn: () => api.jobs.results(e.id, { status, cursor, limit: PAGE }),
    placeholderData: keepPreviousData,
  });
  const open = new Set((url.open ?? '').split(',').filter(Boolean));
  if (results.data?.items.length === 1 && e.summary.total === 1 && url.open === undefined) open.add(results.data.items[0]?.node_id ?? '');
  const toggle = (node: string) => {
    const next = new Set(open);
    if (next.has(node)) next.delete(node);
    else next.add(node);
    setUrl({ open: [...next].join(',') || '-' });
  };
  return (
    <Panel
      title={t('jobs.results')}
      flush
      actions={
        e.summary.total > 1 && (
          <Select
            aria-label={t('field.status')}
            placeholder={t('field.status')}
            allowClear
            size="small"
            style={{ minWidth: 130 }}
            value={status || undefined}
            options={TARGET_STATES.filter((s) => e.summary[s] > 0 || s === status).map((s) => ({ value: s, label: `${t(`status.${s}`)} (${e.summary[s]})` }))}
            onChange={(v?: string) => {
              setCursors([]);
              setUrl({ status: v });
            }}
          />
        )
      }
    >
      {results.error ? <div style={{ padding: 12 }}><ProblemNote error={results.error} /></div> : null}
      {results.isPending && <Loading />}
      {results.data && results.data.items.length === 0 && <p className="dim" style={{ padding: 12 }}>{t('list.noMatch')}</p>}
      {results.data && results.data.items.length > 0 && (
        <div className="table-wrap">
          <table className="t">
            <thead>
              <tr>
                <th scope="col">{t('jobs.target')}</th>
                <th scope="col">{t('field.status')}</th>
                <th scope="col" className="num only-wide-cell">{t('jobs.exit')}</th>
                <th scope="col" className="num">{t('field.duration')}</th>
                <th scope="col" className="num only-wide-cell">{t('jobs.output')}</th>
              </tr>
            </thead>
            <tbody>
              {results.data.items.map((r) => (
                <Fragment key={r.node_id}>
                  <tr className="go" onClick={(ev) => !(ev.target as HTMLElement).closest('a,button') && toggle(r.node_id)}>
                    <td>
                      <button type="button" className="icon-btn" style={{ padding: 0, maxWidth: '100%', color: 'inherit' }} aria-expanded={open.has(r.node_id)} onClick={() => toggle(r.node_id)}>
                        <Icon of={open.has(r.node_id) ? ChevronDown : ChevronRight} />
                        <Clip width={260}>{r.node_name}</Clip>
                      </button>
                    </td>
                    <td style={{ whiteSpace: 'normal' }}>
                      <Status value={r.status} />
                      {r.waiting_for && <div className="dim">{r.waiting_for}</div>}
                      {r.message && r.status !== 'succeeded' && <div className="dim">{r.message}</div>}
                    </td>
                    <td className="num only-wide-cell mono">{r.signal != null ? t('jobs.signal', { n: r.signal }) : (r.exit_code ?? '')}</td>
                    <td className="num">
                      <Elapsed from={r.started_at} to={r.finished_at} ms={r.duration_ms} />
                    </td>
                    <td className="num only-wide-cell dim nowrap">{r.stdout_bytes + r.stderr_bytes > 0 ? bytes(r.stdout_bytes + r.stderr_bytes) : ''}</td>
                  </tr>
                  {open.has(r.node_id) && (
                    <tr>
                      <td colSpan={5} style={{ maxWidth: 0, background: 'var(--p-bg)' }}>
                        <div className="row wrap dim" style={{ gap: '2px 14px', marginBottom: 4 }}>
                          {r.instances.map((i) => (
                            <Link key={i.id} to={`/cmdb/${i.model}/${i.id}`}>
                              {t('jobs.inCmdb', { model: i.model })}
                            </Link>
                          ))}
                          {r.started_at && <Time at={r.started_at} both />}
                          {r.code && <code>{r.code}</code>}
                        </div>
                        <TargetOutput execution={e.id} result={r} signal={signal} />
                      </td>
                    </tr>
                  )}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(results.data?.next_cursor || cursors.length > 0) && (
        <div className="list-foot">
          <span>{t('list.shownOf', { n: results.data?.items.length ?? 0, total: results.data?.total ?? e.summary.total })}</span>
          <span className="grow" />
          <Button size="small" disabled={cursors.length === 0} onClick={() => setCursors(cursors.slice(0, -1))}>
            {t('list.previous')}
          </Button>
          <Button size="small" disabled={!results.data?.next_cursor} onClick={() => setCursors([...cursors, results.data?.next_cursor ?? ''])}>
            {t('list.next')}
          </Button>
        </div>
      )}
    </Panel>
  );
}
