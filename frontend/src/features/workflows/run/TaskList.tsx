/** The tasks of a run as a list: the plainest of its views, and the one that reads best aloud. */
import { ChevronDown, ChevronRight } from 'lucide-react';
import { useMemo, useState } from 'react';
import type { Run, Task } from '../../../api/types';
import { Clip, Elapsed, Icon, Status, toneOf } from '../../../components/base';
import { useI18n } from '../../../i18n';
import { taskTree, visible, type TaskNode } from '../taskTree';
import { TaskBody } from './TaskPanel';

export function TaskList({ run, tasks, live, open, onOpen }: { run: Run; tasks: Task[]; live: boolean; open: number | null; onOpen: (id: number | null) => void }) {
  const { t } = useI18n();
  const [folded, setFolded] = useState<Set<number>>(new Set());
  const rows = useMemo(() => visible(taskTree(tasks), folded), [tasks, folded]);
  const start = Date.parse(run.started_at);
  const end = run.finished_at ? Date.parse(run.finished_at) : start + Math.max(1, run.duration_ms);
  return (
    <>
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
            onToggle={() => onOpen(open === n.task.id ? null : n.task.id)}
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
    </>
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
      <div className="row task-row" style={{ paddingLeft: 8 + depth * 18, gap: 0 }}>
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
      {open && <div className="task-body"><TaskBody run={run} task={task} /></div>}
    </>
  );
}
