import { App, Button, Dropdown, Popover, Switch } from 'antd';
import { Link } from '@tanstack/react-router';
import { CalendarClock, MoreHorizontal, Plus } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Schedule } from '../../api/types';
import { Chip, Clip, Empty, Icon, PageHead, Time } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { NextTimes, ScheduleDialog } from './ScheduleDialog';
import { WorkflowTabs } from './tabs';

export default function Schedules() {
  const { t } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const [editing, setEditing] = useState<Schedule | 'new' | null>(null);
  const toggle = useAct<Schedule>({ run: (s) => api.schedules.update(s.id, { enabled: !s.enabled }), stale: [['schedules']] });
  const remove = useAct<Schedule>({ run: (s) => api.schedules.delete(s.id), done: t('cmdb.deleted'), stale: [['schedules']] });
  const may = can('workflow.run');
  const columns: ListColumn<Schedule>[] = [
    { key: 'name', title: t('schedules.name'), text: (s) => s.name, render: (s) => <Clip width={240}>{s.name}</Clip> },
    {
      key: 'target',
      title: t('schedules.target'),
      text: (s) => s.target.name,
      render: (s) =>
        s.target.kind === 'workflow' ? (
          <Link to={`/workflows/${s.target.name}`}>
            <Clip width={220}>{s.target.name}</Clip>
          </Link>
        ) : (
          <Clip width={220}>{s.target.name}</Clip>
        ),
    },
    {
      key: 'cron',
      title: t('schedules.cron'),
      text: (s) => `${s.cron} ${s.timezone}`,
      render: (s) => (
        <Popover trigger="click" content={<NextTimes cron={s.cron} timezone={s.timezone} />}>
          <button type="button" className="icon-btn" style={{ height: 'auto', padding: 0, textAlign: 'left' }} title={t('schedules.nextOf', { name: s.name })}>
            <code>{s.cron}</code> <span className="faint">{s.timezone}</span>
          </button>
        </Popover>
      ),
    },
    { key: 'next', title: t('schedules.nextAt'), text: (s) => s.next_at ?? '', render: (s) => (s.enabled ? <Time at={s.next_at} /> : null) },
    {
      key: 'last',
      title: t('schedules.lastAt'),
      text: (s) => s.last_at ?? '',
      render: (s) =>
        s.last_at || s.last_error ? (
          <>
            {s.last_run ? (
              <Link to={`/runs/${s.last_run}`}>
                <Time at={s.last_at} />
              </Link>
            ) : (
              <Time at={s.last_at} />
            )}
            {s.last_error && (
              <div style={{ color: 'var(--p-bad)' }}>
                <Clip width={260}>{s.last_error}</Clip>
              </div>
            )}
          </>
        ) : null,
    },
    { key: 'owner', title: t('schedules.actsAs'), text: (s) => s.created_by, render: (s) => (s.owner_plugin ? <Link to={`/apps/${s.owner_plugin}`}><Chip tone="accent">{s.owner_plugin}</Chip></Link> : <Clip width={160}>{s.created_by}</Clip>) },
    {
      key: 'enabled',
      title: t('schedules.enabled'),
      text: (s) => String(s.enabled),
      render: (s) => <Switch size="small" checked={s.enabled} disabled={!may} loading={toggle.isPending && toggle.variables?.id === s.id} aria-label={t('schedules.enable', { name: s.name })} onChange={() => toggle.mutate(s)} />,
    },
    {
      key: 'actions',
      title: '',
      render: (s) =>
        may && (
          <Dropdown
            trigger={['click']}
            placement="bottomRight"
            menu={{
              items: [
                { key: 'edit', label: t('action.edit'), onClick: () => setEditing(s) },
                {
                  key: 'delete',
                  danger: true,
                  label: t('action.delete'),
                  onClick: () => modal.confirm({ title: t('schedules.deleteTitle', { name: s.name }), content: t('schedules.deleteText'), okText: t('action.delete'), okButtonProps: { danger: true }, onOk: () => remove.mutateAsync(s).catch(() => {}) }),
                },
              ],
            }}
          >
            <button type="button" className="icon-btn" aria-label={t('nodes.actions', { name: s.name })}>
              <Icon of={MoreHorizontal} />
            </button>
          </Dropdown>
        ),
    },
  ];
  const create = may && (
    <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
      {t('schedules.new')}
    </Button>
  );
  return (
    <div className="page">
      <PageHead title={t('workflows.schedules')} crumbs={[{ label: t('nav.workflows'), to: '/workflows' }]} actions={create} />
      <WorkflowTabs />
      <ResourceList<Schedule>
        id="schedules"
        label={t('workflows.schedules')}
        queryKey={['schedules', 'list']}
        load={api.schedules.list}
        columns={columns}
        rowKey={(s) => s.id}
        searchable
        empty={
          <Empty icon={CalendarClock} title={t('schedules.empty')} text={t('schedules.emptyText')}>
            {create}
          </Empty>
        }
      />
      {editing !== null && <ScheduleDialog schedule={editing === 'new' ? undefined : editing} onClose={() => setEditing(null)} />}
    </div>
  );
}
