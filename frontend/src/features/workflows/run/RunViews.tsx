/** The tasks of a run: drawn, over time, or as a list. What is chosen is in the URL, so that it can be shared. */
import { Button, Segmented } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { api } from '../../../api/endpoints';
import type { Run, Task } from '../../../api/types';
import { Loading, Note, Panel, ProblemNote } from '../../../components/base';
import { useUrl } from '../../../components/useUrl';
import { useI18n } from '../../../i18n';
import Drawing from '../canvas/Drawing';
import { graphOf } from '../canvas/graph';
import { pictureOf } from './states';
import { TaskList } from './TaskList';
import { TaskPanel } from './TaskPanel';
import { Timeline } from './Timeline';
import { useTasks } from './useTasks';

type View = 'drawing' | 'timeline' | 'list';

export default function RunViews({ run, live }: { run: Run; live: boolean }) {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const { tasks, more, reading, readOn } = useTasks(run);
  const view: View = url.view === 'timeline' || url.view === 'list' ? url.view : 'drawing';
  const task = url.task ? Number(url.task) : null;
  const select = (id: number | null) => setUrl({ task: id === null ? undefined : String(id) });
  return (
    <Panel
      flush
      title={t('workflows.tasksOf', { n: run.task_count })}
      actions={
        <Segmented<View>
          size="small"
          aria-label={t('canvas.view')}
          value={view}
          onChange={(v) => setUrl({ view: v === 'drawing' ? undefined : v })}
          options={[
            { value: 'drawing', label: t('canvas.title') },
            { value: 'timeline', label: t('run.timeline') },
            { value: 'list', label: t('run.list') },
          ]}
        />
      }
    >
      {view === 'drawing' && <DrawnRun run={run} tasks={tasks} task={task} onTask={select} />}
      {view === 'timeline' && (
        <div className={task === null ? undefined : 'wf-with-panel'}>
          <Timeline run={run} tasks={tasks} selected={task} onSelect={select} />
          {task !== null && <TaskPanel run={run.id} executions={tasks.filter((x) => x.id === task)} chosen={task} onChoose={select} onClose={() => select(null)} />}
        </div>
      )}
      {view === 'list' && <TaskList run={run} tasks={tasks} live={live} open={task} onOpen={select} />}
      {more && (
        <div className="list-foot">
          <span>{t('list.shownOf', { n: tasks.length, total: run.task_count })}</span>
          <Button size="small" loading={reading} onClick={readOn}>
            {t('list.more')}
          </Button>
        </div>
      )}
    </Panel>
  );
}

function DrawnRun({ run, tasks, task, onTask }: { run: Run; tasks: Task[]; task: number | null; onTask: (id: number | null) => void }) {
  const { t } = useI18n();
  const version = useQuery({ queryKey: ['workflow-versions', run.workflow, run.version], queryFn: () => api.workflows.version(run.workflow, run.version), staleTime: Infinity, retry: false });
  const [chosen, setChosen] = useState<ReadonlyMap<string, number>>(new Map());
  const graph = useMemo(() => (version.data ? graphOf(version.data.source) : null), [version.data]);
  const picture = useMemo(() => (graph ? pictureOf(tasks, graph, chosen) : null), [graph, tasks, chosen]);
  if (version.error) return <div className="body-note"><ProblemNote error={version.error} retry={() => void version.refetch()} /></div>;
  if (!graph || !picture) return <Loading />;
  const pointer = task === null ? null : (tasks.find((x) => x.id === task)?.pointer ?? null);
  const executions = pointer === null ? [] : (picture.shown.get(pointer) ?? []);
  return (
    <div className={executions.length > 0 ? 'wf-with-panel' : undefined}>
      <Drawing
        graph={graph}
        label={t('canvas.of', { name: run.workflow })}
        states={picture.states}
        rounds={picture.rounds}
        onRound={(id, at) => setChosen((old) => new Map(old).set(id, at))}
        selected={pointer}
        onSelect={(id) => {
          const last = id === null ? undefined : picture.shown.get(id)?.at(-1);
          onTask(last?.id ?? null);
        }}
      />
      {executions.length > 0 && <TaskPanel run={run.id} executions={executions} chosen={task} onChoose={onTask} onClose={() => onTask(null)} />}
      {graph.broken && <Note tone="warn" title={t('canvas.broken')}>{graph.broken}</Note>}
    </div>
  );
}
