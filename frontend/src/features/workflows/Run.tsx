import { Button } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { RotateCcw } from 'lucide-react';
import { lazy, Suspense, useMemo, useState } from 'react';
import { api } from '../../api/endpoints';
import type { Json, Run as Item } from '../../api/types';
import { Clip, Elapsed, Icon, JsonView, Loading, Note, PageHead, Panel, ProblemNote, Status, Time, Who } from '../../components/base';
import { isObject } from '../../components/SchemaForm';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { Origin } from '../jobs/Origin';
import { SummaryBar } from '../jobs/SummaryBar';
import { RunActs } from './Acts';
import { WaitingNote, WorkflowError } from './run/TaskPanel';
import { StartDialog } from './StartDialog';

// It brings the canvas along.
const RunViews = lazy(() => import('./run/RunViews'));

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
      <Suspense fallback={<Loading />}>
        <RunViews run={r} live={live} />
      </Suspense>
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
