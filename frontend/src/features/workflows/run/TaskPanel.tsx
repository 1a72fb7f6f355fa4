/** One task of a run: what came in, what came out, what it waits for, what an operator may do. */
import { Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { X } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../../api/endpoints';
import type { Task, Waiting } from '../../../api/types';
import { Elapsed, Icon, JsonView, Note, Status, Time } from '../../../components/base';
import { isObject, type Obj } from '../../../components/SchemaForm';
import { useI18n } from '../../../i18n';
import { useCan } from '../../../session';
import { SummaryBar } from '../../jobs/SummaryBar';
import { TaskActs } from '../Acts';

export function WaitingNote({ waiting }: { waiting: Waiting }) {
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

export function WorkflowError({ error }: { error: Obj }) {
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

/** The job behind a task: how its targets fare, and the way to their output. */
function JobOf({ id }: { id: string }) {
  const { t } = useI18n();
  const can = useCan();
  const job = useQuery({ queryKey: ['jobs', 'one', id], queryFn: () => api.jobs.get(id), enabled: can('jobs.read'), retry: false });
  return (
    <div className="stack tight">
      {job.data && <SummaryBar summary={job.data.summary} />}
      <Link to={`/jobs/${id}`}>{t('workflows.openJob')}</Link>
    </div>
  );
}

/** The body of a task, wherever it is shown. `run` is null where nothing can be done with it. */
export function TaskBody({ run, task }: { run: string | null; task: Task }) {
  const { t } = useI18n();
  const can = useCan();
  const execution = isObject(task.output) && typeof task.output.execution === 'string' ? task.output.execution : null;
  return (
    <div className="stack">
      <div className="row wrap dim" style={{ gap: '2px 16px' }}>
        <code style={{ overflowWrap: 'anywhere' }}>{task.path || task.pointer}</code>
        <span>
          {t('field.started')} <Time at={task.started_at} both />
        </span>
        <span>
          {t('field.duration')} <Elapsed from={task.started_at} to={task.finished_at} ms={task.duration_ms} />
        </span>
        {run && can('workflow.run') && <TaskActs run={run} task={task} />}
      </div>
      {task.waiting && <WaitingNote waiting={task.waiting} />}
      {task.waiting && task.action === 'approval' && <Link to="/approvals">{t('approvals.mine')}</Link>}
      {task.action === 'job.run' && execution && <JobOf id={execution} />}
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

/** The executions of one task, the newest first shown. */
export function TaskPanel({ run, executions, chosen, onChoose, onClose }: { run: string | null; executions: Task[]; chosen: number | null; onChoose: (id: number) => void; onClose: () => void }) {
  const { t } = useI18n();
  const [all, setAll] = useState(false);
  const task = executions.find((x) => x.id === chosen) ?? executions.at(-1);
  if (!task) return null;
  const offered = all ? executions : executions.slice(-50);
  return (
    <section className="wf-panel" aria-label={t('run.task', { name: task.name })}>
      <header className="row between">
        <div style={{ minWidth: 0 }}>
          <h3 style={{ fontSize: 14, overflowWrap: 'anywhere' }}>{task.name}</h3>
          <div className="row wrap" style={{ gap: '0 10px' }}>
            <Status value={task.status} />
            <span className="dim mono">{task.action ?? task.kind}</span>
            {task.attempt > 1 && <span className="chip warn">{t('workflows.attempt', { n: task.attempt })}</span>}
          </div>
        </div>
        <button type="button" className="icon-btn" aria-label={t('action.close')} onClick={onClose}>
          <Icon of={X} />
        </button>
      </header>
      {executions.length > 1 && (
        <Select
          size="small"
          style={{ width: '100%' }}
          aria-label={t('run.executions', { n: executions.length })}
          value={task.id}
          onChange={(id) => (id === -1 ? setAll(true) : onChoose(id))}
          options={[
            ...[...offered].reverse().map((x) => ({ value: x.id, label: t('run.execution', { n: executions.indexOf(x) + 1, of: executions.length, status: t(`status.${x.status}`) }) })),
            ...(offered.length < executions.length ? [{ value: -1, label: t('list.more') }] : []),
          ]}
        />
      )}
      <TaskBody run={run} task={task} />
    </section>
  );
}
