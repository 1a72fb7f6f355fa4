import { Button } from 'antd';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { ChevronDown, ChevronRight, RotateCcw } from 'lucide-react';
import { useMemo, useState } from 'react';
import { api } from '../../api/endpoints';
import type { Json, Run as Item, Task } from '../../api/types';
import { Clip, Elapsed, Icon, JsonView, Loading, Note, PageHead, Panel, ProblemNote, Status, Time, toneOf, Who } from '../../components/base';
import { isObject } from '../../components/SchemaForm';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { Origin } from '../jobs/Origin';
import { SummaryBar } from '../jobs/SummaryBar';
import { RunActs, TaskActs } from './Acts';
import { StartDialog } from './StartDialog';
import { taskTree, visible, type TaskNode } from './taskTree';

const FINAL = new Set(['succeeded', 'failed', 'cancelled']);

export default function Run() {
  const { t } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const { id = '' } = useParams({ strict: false }) as { id?: string };
  const [again, setAgain] = useState(false);
  // Task events make this stale; the interval is for a portal whose live connection is down.
  const run = useQuery({ queryKey: ['runs', 'one', id], queryFn: () => api.runs.get(id), refetchInterval: (q) => (q.state.data && !FINAL.has(q.state.data.status) ? 10_000 : false) });
  const definition = useQuery({ queryKey: ['workflows', 'one', run.data?.workflow], queryFn: () => api.workflows.get(run.data?.workflow ?? ''), enabled: again && Boolean(run.data), retry: false });
  if (run.error) return <ProblemNote error={run.error} retry={() => void run.refetch()} />;
  if (!run.data) return <Loading />;
  const r = run.data;
  const live = !FINAL.has(r.status);
  return (
    <div className="page">
      <PageHead
        title={r.workflow}
        crumbs={[
          { label: t('nav.workflows'), to: '/workflows' },
          { label: t('workflows.runs'), to: '/runs' },
        ]}
        sub={
          <>
            <Status value={r.status} />
            <span>
              {t('field.started')} <Time at={r.started_at} />
            </span>
            <span>
              {t('field.duration')} <Elapsed from={r.started_at} to={r.finished_at} ms={r.duration_ms} />
            </span>
            <Who actor={r.started_by} />
            {r.origin && <Origin origin={r.origin} />}
            <Link to={`/workflows/${r.workflow}`}>{t('workflows.version', { n: r.version })}</Link>
          </>
        }
        actions={
          can('workflow.run') && (
            <>
              <RunActs run={r} />
              {!live && (
                <Button icon={<Icon of={RotateCcw} />} onClick={() => setAgain(true)}>
                  {t('jobs.again')}
                </Button>
              )}
            </>
          )
        }
      />
      {r.waiting && live && <WaitingNote waiting={r.waiting} />}
      {isObject(r.error) && <WorkflowError error={r.error} />}
      {r.status === 'failed' && r.tasks.some((x) => x.acts.includes('skip')) && <Note tone="info">{t('act.canGoOn')}</Note>}
      <Tasks run={r} live={live} />
      <div className="grid2">
        <Panel title={t('workflows.input')}>
          <JsonView value={r.input} />
        </Panel>
        <Panel title={t('workflows.output')}>{live ? <p className="dim">{t('workflows.notYet')}</p> : <JsonView value={r.output} />}</Panel>
      </div>
      <JobsBehind id={r.id} />
      {again && definition.data && <StartAgain run={r} schema={definition.data.input_schema} onClose={() => setAgain(false)} />}
      {again && definition.error ? <ProblemNote error={definition.error} retry={() => void navigate({ to: '/workflows' })} /> : null}
    </div>
  );
}

function StartAgain({ run, schema, onClose }: { run: Item; schema: Json; onClose: () => void }) {
  // The form starts from what the run was started with.
  const filled = useMemo(() => withDefaults(schema, run.input), [schema, run.input]);
  return <StartDialog name={run.workflow} schema={filled} onClose={onClose} />;
}

function withDefaults(schema: Json, input: Json): Json {
  return isObject(schema) ? { ...schema, default: input } : { default: input };
}

function WaitingNote({ waiting }: { waiting: NonNullable<Item['waiting']> }) {
  const { t } = useI18n();
  return (
    <Note tone="info" title={t('workflows.waitsFor')}>
      {waiting.reason} · {t('workflows.since')} <Time at={waiting.since} />
      {waiting.until && (
        <>
          {' '}
          · {t('workflows.until')} <Time at={waiting.until} both />
        </>
      )}
      <div className="faint">{t(waiting.paused ? 'workflows.movedByPaused' : 'workflows.movedBy', { permission: waiting.permission })}</div>
    </Note>
  );
}

function WorkflowError({ error }: { error: { [k: string]: Json } }) {
  const text = (k: string) => (typeof error[k] === 'string' || typeof error[k] === 'number' ? String(error[k]) : '');
  return (
    <Note tone="bad" title={text('title') || text('type')}>
      {text('detail') && <div>{text('detail')}</div>}
      <div className="faint">
        <code>{[text('type'), text('instance')].filter(Boolean).join('  ')}</code>
      </div>
    </Note>
  );
}

function Tasks({ run, live }: { run: Item; live: boolean }) {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const [folded, setFolded] = useState<Set<number>>(new Set());
  const last = run.tasks.at(-1)?.id ?? 0;
  const rest = useInfiniteQuery({
    queryKey: ['runs', 'tasks', run.id, last],
    queryFn: ({ pageParam }) => api.runs.tasks(run.id, pageParam),
    initialPageParam: last,
    getNextPageParam: (p) => (p.next_cursor ? Number(p.next_cursor) : undefined),
    enabled: false,
  });
  const tasks = [...run.tasks, ...(rest.data?.pages.flatMap((p) => p.items) ?? [])];
  const rows = visible(taskTree(tasks), folded);
  const start = Date.parse(run.started_at);
  const end = run.finished_at ? Date.parse(run.finished_at) : start + Math.max(1, run.duration_ms);
  const open = url.task ? Number(url.task) : null;
  return (
    <Panel title={t('workflows.tasksOf', { n: run.task_count })} flush>
      {rows.length === 0 && <p className="dim" style={{ padding: 12 }}>{live ? t('workflows.notBegun') : t('workflows.noTasks')}</p>}
      <div className="tasks">
        {rows.map((n) => (
          <TaskRow
            key={n.task.id}
            run={run.id}
            node={n}
            start={start}
            end={Math.max(end, start + 1)}
            open={open === n.task.id}
            folded={folded.has(n.task.id)}
            onToggle={() => setUrl({ task: open === n.task.id ? undefined : String(n.task.id) })}
            onFold={() =>
              setFolded((old) => {
                const next = new Set(old);
                if (!next.delete(n.task.id)) next.add(n.task.id);
                return next;
              })
            }
          />
        ))}
      </div>
      {tasks.length < run.task_count && (
        <div className="list-foot">
          <span>{t('list.shownOf', { n: tasks.length, total: run.task_count })}</span>
          <Button size="small" loading={rest.isFetching} onClick={() => void (rest.data ? rest.fetchNextPage() : rest.refetch())}>
            {t('list.more')}
          </Button>
        </div>
      )}
    </Panel>
  );
}

function TaskRow({ run, node, start, end, open, folded, onToggle, onFold }: { run: string; node: TaskNode; start: number; end: number; open: boolean; folded: boolean; onToggle: () => void; onFold: () => void }) {
  const { t } = useI18n();
  const { task, depth, children, round } = node;
  const span = end - start;
  const left = Math.max(0, Math.min(100, ((Date.parse(task.started_at) - start) / span) * 100));
  const right = task.finished_at ? Math.max(left, Math.min(100, ((Date.parse(task.finished_at) - start) / span) * 100)) : 100;
  return (
    <>
      <div className="row" style={{ paddingLeft: 8 + depth * 18, gap: 0 }}>
        {children.length > 0 ? (
          <button type="button" className="icon-btn" style={{ minWidth: 22, padding: 0 }} aria-expanded={!folded} aria-label={t('workflows.fold', { name: task.name })} onClick={onFold}>
            <Icon of={folded ? ChevronRight : ChevronDown} />
          </button>
        ) : (
          <span style={{ width: 22, flex: 'none' }} />
        )}
        <button type="button" className="task grow" style={{ paddingLeft: 2 }} aria-expanded={open} onClick={onToggle}>
          <span style={{ minWidth: 0 }}>
            <span className="row wrap" style={{ gap: '0 8px' }}>
              <Status value={task.status} />
              <strong style={{ fontWeight: 600 }}>
                <Clip width={260}>{task.name}</Clip>
              </strong>
              <span className="dim mono">{task.action ?? task.kind}</span>
              {round !== null && <span className="faint">{t('workflows.round', { n: round + 1 })}</span>}
              {task.attempt > 1 && <span className="chip warn">{t('workflows.attempt', { n: task.attempt })}</span>}
            </span>
            {task.waiting && (
              <span className="dim" style={{ display: 'block' }}>
                {task.waiting.reason}
              </span>
            )}
          </span>
          <span className="lane" aria-hidden="true">
            <i className={`st-${toneOf(task.status)}`} style={{ left: `${left}%`, width: `${Math.max(0.5, right - left)}%` }} />
          </span>
          <span className="num dim">
            <Elapsed from={task.started_at} to={task.finished_at} ms={task.duration_ms} />
          </span>
        </button>
      </div>
      {open && <TaskBody run={run} task={task} />}
    </>
  );
}

function TaskBody({ run, task }: { run: string; task: Task }) {
  const { t } = useI18n();
  const can = useCan();
  const execution = isObject(task.output) && typeof task.output.execution === 'string' ? task.output.execution : null;
  return (
    <div className="task-body stack">
      <div className="row wrap dim" style={{ gap: '2px 16px' }}>
        <code>{task.path || task.pointer}</code>
        <span>
          {t('field.started')} <Time at={task.started_at} both />
        </span>
        {task.action === 'job.run' && execution && <Link to={`/jobs/${execution}`}>{t('workflows.openJob')}</Link>}
        {can('workflow.run') && <TaskActs run={run} task={task} />}
      </div>
      {task.waiting && <WaitingNote waiting={task.waiting} />}
      {isObject(task.error) && <WorkflowError error={task.error} />}
      <div className="grid2">
        <div>
          <h3 className="dim" style={{ fontSize: 12 }}>{t('workflows.input')}</h3>
          <JsonView value={task.input} />
        </div>
        <div>
          <h3 className="dim" style={{ fontSize: 12 }}>{t('workflows.output')}</h3>
          <JsonView value={task.output} />
        </div>
      </div>
    </div>
  );
}

/** Executions that this run started. */
function JobsBehind({ id }: { id: string }) {
  const { t } = useI18n();
  const can = useCan();
  const jobs = useQuery({ queryKey: ['jobs', 'origin', id], queryFn: () => api.jobs.list({ origin: `workflow-run/${id}`, limit: 100 }), enabled: can('jobs.read'), retry: false });
  if (!jobs.data || jobs.data.items.length === 0) return null;
  return (
    <Panel title={t('workflows.jobs')} flush>
      <div className="table-wrap">
        <table className="t">
          <tbody>
            {jobs.data.items.map((j) => (
              <tr key={j.id}>
                <td>
                  <Link to={`/jobs/${j.id}`}>
                    <Clip width={320}>{j.name}</Clip>
                  </Link>
                </td>
                <td>
                  <Status value={j.status} />
                </td>
                <td>
                  <SummaryBar summary={j.summary} compact />
                </td>
                <td className="num">
                  <Elapsed from={j.started_at} to={j.finished_at} ms={j.duration_ms} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
