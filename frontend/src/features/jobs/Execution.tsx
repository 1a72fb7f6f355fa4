import { App, Button, Dropdown, Input, Select } from 'antd';
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { Ban, ChevronDown, ChevronRight, RotateCcw } from 'lucide-react';
import { Fragment, useEffect, useMemo, useRef, useState } from 'react';
import { BASE } from '../../api/client';
import { api } from '../../api/endpoints';
import { openStream } from '../../api/sse';
import type { Execution as Item, Page, TargetResult } from '../../api/types';
import { Clip, Elapsed, Icon, JsonView, Loading, Note, PageHead, Panel, ProblemNote, Status, Time, Who } from '../../components/base';
import { bytes, duration } from '../../components/format';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { ApprovalNote } from './ApprovalNote';
import { Groups, OutputSearch } from './Groups';
import { Origin } from './Origin';
import { RetryDialog } from './Retry';
import { Chain, ProgressNote } from './Strategy';
import { SummaryBar } from './SummaryBar';
import { TargetOutput, type OutputSignal } from './TargetOutput';

const TARGET_STATES = ['failed', 'timed_out', 'lost', 'rejected', 'cancelled', 'running', 'waiting', 'pending', 'succeeded'] as const;
const PAGE = 100;
/** What else narrows the list, beside the status. */
const FILTERS = ['output_hash', 'exit_code', 'code', 'q'] as const;

type Listener = (node: string, stream: 'stdout' | 'stderr') => void;

/** Follows a running execution: targets and totals go straight into the cache, output is announced to whoever shows it. Of thousands of targets it hears of those that the page shows. */
function useLive(id: string, running: boolean, shown: string, open: string): OutputSignal {
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
  const last = useRef('');
  useEffect(() => {
    last.current = '';
  }, [id]);
  useEffect(() => {
    if (!running || !id) return;
    const stop = openStream({
      url: `${BASE}/jobs/executions/${encodeURIComponent(id)}/stream?nodes=${shown}&output=${open}`,
      after: last.current,
      onMessage: (m) => {
        last.current = m.id || last.current;
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
  }, [client, hub, id, running, shown, open]);
  return hub.signal;
}

export default function Execution() {
  const { t } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const { modal } = App.useApp();
  const { id = '' } = useParams({ strict: false }) as { id?: string };
  const execution = useQuery({ queryKey: ['jobs', 'one', id], queryFn: () => api.jobs.get(id) });
  const running = execution.data?.status === 'running' || execution.data?.status === 'waiting_approval';
  // What the page shows decides what the stream brings.
  const [visible, setVisible] = useState({ shown: '', open: '' });
  const signal = useLive(id, running, visible.shown, visible.open);
  const cancel = useAct<boolean>({ run: (force) => api.jobs.cancel(id, force), done: t('jobs.cancelled'), stale: [['jobs']] });
  // A list of its own for each choice of targets: it starts at its first page.
  const [page, setPage] = useState(0);
  const [, setUrl] = useUrl();
  const [retrying, setRetrying] = useState<true | { id: string; name: string; env: string[] }[] | null>(null);
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
                      title: t(e.cancelled_by ? 'jobs.forceTitle' : 'jobs.cancelTitle'),
                      content: t(e.cancelled_by ? 'jobs.forceText' : 'jobs.cancelText'),
                      okText: t(e.cancelled_by ? 'jobs.force' : 'jobs.cancel'),
                      okButtonProps: { danger: true },
                      cancelText: t(e.cancelled_by ? 'jobs.keepWaiting' : 'jobs.keepRunning'),
                      onOk: () => cancel.mutateAsync(Boolean(e.cancelled_by)).catch(() => {}),
                    })
                  }
                >
                  {t(e.cancelled_by ? 'jobs.force' : 'jobs.cancel')}
                </Button>
              )}
              {bad > 0 && !running ? (
                <Dropdown menu={{ items: [{ key: 'all', label: t('jobs.againAll'), onClick: () => again() }, { key: 'bad', label: t('jobs.againFailed', { n: bad }), onClick: () => again('failed') }, { key: 'retry', label: t('jobs.retry'), onClick: () => setRetrying(true) }] }} trigger={['click']}>
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
        <div className="stack tight">
          <SummaryBar summary={e.summary} />
          <ProgressNote execution={e} />
        </div>
      </Panel>
      <ApprovalNote execution={e} />
      {retrying && <RetryDialog execution={e} nodes={retrying === true ? undefined : retrying} onClose={() => setRetrying(null)} />}
      <Groups execution={e} onPick={() => setPage((n) => n + 1)} />
      <Results key={page} execution={e} signal={signal} onShow={setVisible} onRetry={setRetrying} />
      <OutputSearch execution={e} onOpen={(node, name) => { setPage((n) => n + 1); setUrl({ status: undefined, output_hash: undefined, exit_code: undefined, code: undefined, q: name, open: node }); }} />
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
            {e.strategy.batches && <Pair label={t('jobs.batches')}><code>{e.strategy.batches}</code></Pair>}
            {e.strategy.pause_s > 0 && <Pair label={t('jobs.pause')}>{duration(e.strategy.pause_s * 1000)}</Pair>}
            {e.strategy.tolerate && <Pair label={t('jobs.tolerate')}>{e.strategy.tolerate}</Pair>}
            {e.strategy.total_timeout_s && <Pair label={t('jobs.totalTimeout')}>{duration(e.strategy.total_timeout_s * 1000)}</Pair>}
            <Pair label={t('jobs.ifOffline')}>{e.wait_s === 0 ? t('jobs.offlineFail') : t('jobs.offlineWaits', { time: duration(e.wait_s * 1000) })}</Pair>
            {e.cancelled_by && <Pair label={t('jobs.cancelledBy')}>{e.cancelled_by}</Pair>}
          </dl>
          <JsonView value={e.script.content} />
        </div>
      </Panel>
      <Chain execution={e} />
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

function Results({
  execution: e,
  signal,
  onShow,
  onRetry,
}: {
  execution: Item;
  signal: OutputSignal;
  onShow: (v: { shown: string; open: string }) => void;
  onRetry: (nodes: { id: string; name: string; env: string[] }[]) => void;
}) {
  const { t } = useI18n();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const [cursors, setCursors] = useState<string[]>([]);
  const cursor = cursors.at(-1);
  const status = url.status;
  const results = useQuery({
    queryKey: ['jobs', 'results', e.id, status ?? '', cursor ?? '', ...FILTERS.map((f) => url[f] ?? '')],
    queryFn: () => api.jobs.results(e.id, { status, cursor, limit: PAGE, output_hash: url.output_hash, exit_code: url.exit_code, code: url.code, search: url.q }),
    placeholderData: keepPreviousData,
  });
  const open = new Set((url.open ?? '').split(',').filter(Boolean));
  if (results.data?.items.length === 1 && e.summary.total === 1 && url.open === undefined) open.add(results.data.items[0]?.node_id ?? '');
  const ids = (results.data?.items ?? []).map((r) => r.node_id);
  const shown = ids.join(',');
  const opened = ids.filter((n) => open.has(n)).join(',');
  useEffect(() => onShow({ shown, open: opened }), [onShow, shown, opened]);
  const filtered = FILTERS.some((f) => url[f]) || Boolean(status);
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
          <>
          {filtered && (
            <Button
              size="small"
              onClick={() => {
                setCursors([]);
                setUrl({ status: undefined, output_hash: undefined, exit_code: undefined, code: undefined, q: undefined });
              }}
            >
              {t('list.clear')}
            </Button>
          )}
          <Input.Search
            key={url.q ?? ''}
            size="small"
            style={{ width: 160 }}
            aria-label={t('jobs.searchTargets')}
            placeholder={t('jobs.searchTargets')}
            defaultValue={url.q}
            onSearch={(v) => {
              setCursors([]);
              setUrl({ q: v.trim() || undefined });
            }}
          />
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
          </>
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
                      {r.waiting_for && (
                        <div className="dim">
                          {r.waiting_for}
                          {r.waiting_since && <> · {t('jobs.since')} <Time at={r.waiting_since} /></>}
                          {r.waiting_until && <> · {t('jobs.until')} <Time at={r.waiting_until} /></>}
                        </div>
                      )}
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
                          {r.fault && <span>{t(`jobs.fault.${r.fault}`)}</span>}
                          {r.code && <code>{r.code}</code>}
                          {can('jobs.run') && r.finished_at && (
                            <Button size="small" type="link" style={{ paddingInline: 0, height: 'auto' }} onClick={() => onRetry([{ id: r.node_id, name: r.node_name, env: r.env }])}>
                              {t('jobs.retryOne')}
                            </Button>
                          )}
                        </div>
                        {r.result_error && <Note tone="warn">{r.result_error}</Note>}
                        {r.result != null && (
                          <>
                            <div className="dim">{t('jobs.ownResult')}</div>
                            <JsonView value={r.result} />
                          </>
                        )}
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
