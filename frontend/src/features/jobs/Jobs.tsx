import { Button } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Play, SquareTerminal, X } from 'lucide-react';
import { api } from '../../api/endpoints';
import type { Execution } from '../../api/types';
import { Chip, Clip, Elapsed, Empty, Icon, PageHead, Status, Time, who } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { JobsToApprove } from './ApprovalNote';
import { Origin } from './Origin';
import { SummaryBar } from './SummaryBar';
import { JobTabs } from './tabs';

export const EXECUTION_STATES = ['waiting_approval', 'running', 'succeeded', 'partial', 'failed', 'cancelled'] as const;

export default function Jobs() {
  const { t } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const node = useQuery({ queryKey: ['nodes', 'one', url.node_id], queryFn: () => api.nodes.get(url.node_id ?? ''), enabled: Boolean(url.node_id), retry: false });
  const columns: ListColumn<Execution>[] = [
    {
      key: 'name',
      title: t('jobs.name'),
      text: (j) => j.name,
      render: (j) => (
        <Link to={`/jobs/${j.id}`}>
          <Clip width={360}>{j.name}</Clip>
        </Link>
      ),
    },
    { key: 'status', title: t('field.status'), text: (j) => j.status, render: (j) => <Status value={j.status} /> },
    { key: 'targets', title: t('jobs.targets'), text: (j) => String(j.summary.total), render: (j) => <SummaryBar summary={j.summary} compact /> },
    { key: 'duration', title: t('field.duration'), num: true, text: (j) => String(j.duration_ms ?? ''), render: (j) => <Elapsed from={j.started_at} to={j.finished_at} ms={j.duration_ms} /> },
    { key: 'by', title: t('field.by'), text: (j) => j.created_by, render: (j) => <Clip width={200}>{who(j.created_by, t)}</Clip> },
    { key: 'origin', title: t('jobs.origin'), text: (j) => j.origin ?? '', render: (j) => (j.origin ? <Origin origin={j.origin} /> : null) },
    { key: 'language', title: t('jobs.language'), extra: true, text: (j) => j.script.language, render: (j) => j.script.language },
    { key: 'created', title: t('field.started'), text: (j) => j.created_at, render: (j) => <Time at={j.created_at} /> },
  ];
  const run = can('jobs.run') && (
    <Button type="primary" icon={<Icon of={Play} />} onClick={() => void navigate({ to: '/jobs/run' })}>
      {t('jobs.runScript')}
    </Button>
  );
  return (
    <div className="page">
      <PageHead
        title={t('nav.jobs')}
        sub={
          url.node_id ? (
            <Chip tone="accent">
              {t('jobs.onNode', { name: node.data?.name ?? url.node_id })}
              <button type="button" className="icon-btn" style={{ height: 18, minWidth: 18, padding: 0 }} aria-label={t('list.clear')} onClick={() => setUrl({ node_id: undefined, cursor: undefined }, true)}>
                <Icon of={X} />
              </button>
            </Chip>
          ) : (
            t('jobs.lead')
          )
        }
        actions={run}
      />
      <JobTabs />
      <JobsToApprove />
      <ResourceList<Execution>
        id="jobs"
        label={t('nav.jobs')}
        queryKey={['jobs', 'list', url.node_id ?? '']}
        load={(q) => api.jobs.list({ ...q, node_id: url.node_id })}
        columns={columns}
        rowKey={(j) => j.id}
        rowTo={(j) => `/jobs/${j.id}`}
        searchable
        facets={[{ param: 'status', title: t('field.status'), options: EXECUTION_STATES.map((v) => ({ value: v, label: t(`status.${v}`) })) }]}
        exportName="jobs"
        empty={
          <Empty icon={SquareTerminal} title={t('jobs.empty')} text={t('jobs.emptyText')}>
            {run}
          </Empty>
        }
      />
    </div>
  );
}
