import { Button } from 'antd';
import { Link, useNavigate } from '@tanstack/react-router';
import { Plus, Workflow } from 'lucide-react';
import { api } from '../../api/endpoints';
import type { WorkflowDefinition } from '../../api/types';
import { Chip, Clip, Empty, Icon, PageHead, Time } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { WorkflowTabs } from './tabs';

export default function Workflows() {
  const { t } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const columns: ListColumn<WorkflowDefinition>[] = [
    {
      key: 'name',
      title: t('workflows.name'),
      text: (w) => w.name,
      render: (w) => (
        <Link to={`/workflows/${w.name}`}>
          <Clip width={320}>{w.name}</Clip>
        </Link>
      ),
    },
    { key: 'title', title: t('workflows.title'), text: (w) => w.title, render: (w) => (w.title === w.name ? null : <Clip width={280}>{w.title}</Clip>) },
    { key: 'summary', title: t('workflows.summary'), text: (w) => w.summary ?? '', render: (w) => w.summary && <Clip width={380}>{w.summary}</Clip> },
    { key: 'owner', title: t('workflows.owner'), text: (w) => w.owner ?? '', render: (w) => (w.owner ? <Link to={`/apps/${w.owner}`}><Chip tone="accent">{w.owner}</Chip></Link> : <span className="faint">{t('workflows.ownerNone')}</span>) },
    { key: 'version', title: t('field.version'), num: true, text: (w) => String(w.version), render: (w) => w.version },
    { key: 'updated', title: t('field.updated'), text: (w) => w.updated_at, render: (w) => <Time at={w.updated_at} /> },
  ];
  const create = can('workflow.write') && (
    <Button type="primary" icon={<Icon of={Plus} />} onClick={() => void navigate({ to: '/workflows/new' })}>
      {t('workflows.new')}
    </Button>
  );
  return (
    <div className="page">
      <PageHead title={t('nav.workflows')} sub={t('workflows.lead')} actions={create} />
      <WorkflowTabs />
      <ResourceList<WorkflowDefinition>
        id="workflows"
        label={t('nav.workflows')}
        queryKey={['workflows', 'list']}
        load={api.workflows.list}
        columns={columns}
        rowKey={(w) => w.name}
        rowTo={(w) => `/workflows/${w.name}`}
        searchable
        empty={
          <Empty icon={Workflow} title={t('workflows.empty')} text={t('workflows.emptyText')}>
            {create}
            <Link to="/catalog">{t('home.openCatalog')}</Link>
          </Empty>
        }
      />
    </div>
  );
}
