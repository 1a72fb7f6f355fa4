import { Link } from '@tanstack/react-router';
import { Button } from 'antd';
import { Ban, GitCommitHorizontal, Pause, Play, RotateCcw, X } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Run } from '../../api/types';
import { Chip, Clip, Elapsed, Empty, Icon, PageHead, Status, Time, who } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { Origin } from '../jobs/Origin';
import { fits, ManyRuns, type ManyAct } from './ManyRuns';
import { WorkflowTabs } from './tabs';

const MANY: [ManyAct, typeof Ban][] = [
  ['pause', Pause],
  ['resume', Play],
  ['retry', RotateCcw],
  ['cancel', Ban],
];

const STATES = ['running', 'waiting', 'succeeded', 'failed', 'cancelled'] as const;

export default function Runs() {
  const { t } = useI18n();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const [chosen, setChosen] = useState<Map<string, Run>>(new Map());
  const [many, setMany] = useState<ManyAct | null>(null);
  const columns: ListColumn<Run>[] = [
    {
      key: 'workflow',
      title: t('workflows.workflow'),
      text: (r) => r.workflow,
      render: (r) => (
        <Link to={`/runs/${r.id}`}>
          <Clip width={320}>{r.workflow}</Clip>
        </Link>
      ),
    },
    {
      key: 'status',
      title: t('field.status'),
      text: (r) => r.status,
      render: (r) => (
        <>
          <Status value={r.status} />
          {r.waiting && (
            <div className="dim">
              <Clip width={300}>{r.waiting.reason}</Clip>
            </div>
          )}
        </>
      ),
    },
    { key: 'duration', title: t('field.duration'), num: true, text: (r) => String(r.duration_ms), render: (r) => <Elapsed from={r.started_at} to={r.finished_at} ms={r.duration_ms} /> },
    { key: 'tasks', title: t('workflows.tasks'), num: true, text: (r) => String(r.task_count), render: (r) => r.task_count },
    { key: 'by', title: t('field.by'), text: (r) => r.started_by, render: (r) => <Clip width={200}>{who(r.started_by, t)}</Clip> },
    { key: 'origin', title: t('jobs.origin'), text: (r) => r.origin ?? '', render: (r) => (r.origin ? <Origin origin={r.origin} /> : null) },
    { key: 'started', title: t('field.started'), text: (r) => r.started_at, render: (r) => <Time at={r.started_at} /> },
    { key: 'id', title: 'ID', extra: true, text: (r) => r.id, render: (r) => <Clip mono width={130}>{r.id}</Clip> },
  ];
  return (
    <div className="page">
      <PageHead
        title={t('workflows.runs')}
        crumbs={[{ label: t('nav.workflows'), to: '/workflows' }]}
        sub={
          url.workflow && (
            <Chip tone="accent">
              {url.workflow}
              <button type="button" className="icon-btn" style={{ height: 18, minWidth: 18, padding: 0 }} aria-label={t('list.clear')} onClick={() => setUrl({ workflow: undefined, cursor: undefined }, true)}>
                <Icon of={X} />
              </button>
            </Chip>
          )
        }
      />
      <WorkflowTabs />
      <ResourceList<Run>
        id="runs"
        label={t('workflows.runs')}
        queryKey={['runs', 'list', url.workflow ?? '']}
        load={(q) => api.runs.list({ ...q, workflow: url.workflow })}
        columns={columns}
        rowKey={(r) => r.id}
        rowTo={(r) => `/runs/${r.id}`}
        searchable
        facets={[{ param: 'status', title: t('field.status'), options: STATES.map((v) => ({ value: v, label: t(`status.${v}`) })) }]}
        exportName="runs"
        select={
          can('workflow.run')
            ? {
                chosen,
                onChange: setChosen,
                name: (r) => `${r.workflow} ${r.started_at}`,
                bar: MANY.map(([act, icon]) => {
                  const n = [...chosen.values()].filter((r) => fits(r, act)).length;
                  return (
                    <Button key={act} danger={act === 'cancel'} icon={<Icon of={icon} />} disabled={n === 0} onClick={() => setMany(act)}>
                      {t(act === 'cancel' ? 'workflows.cancel' : `act.${act}`)} ({n})
                    </Button>
                  );
                }),
              }
            : undefined
        }
        empty={
          <Empty icon={GitCommitHorizontal} title={t('home.noRuns')} text={t('workflows.noRunsText')}>
            <Link to="/workflows">{t('workflows.definitions')}</Link>
          </Empty>
        }
      />
      {many && (
        <ManyRuns
          runs={[...chosen.values()]}
          act={many}
          onClose={(done) => {
            setMany(null);
            if (done) setChosen(new Map());
          }}
        />
      )}
    </div>
  );
}
