import { App, Button, Dropdown, Form, Input, Modal } from 'antd';
import { Link, useNavigate } from '@tanstack/react-router';
import { MoreHorizontal, Plus, Server } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Node } from '../../api/types';
import { Clip, Empty, Icon, PageHead, Status, Time } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { EnrolDialog } from './EnrolDialog';

export default function Nodes() {
  const { t } = useI18n();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const columns: ListColumn<Node>[] = [
    {
      key: 'name',
      title: t('nodes.name'),
      text: (n) => n.name,
      render: (n) => (
        <Link to={`/nodes/${n.id}`}>
          <Clip>{n.name}</Clip>
        </Link>
      ),
    },
    {
      key: 'state',
      title: t('field.status'),
      text: (n) => n.state,
      render: (n) => (
        <span className="row wrap" style={{ gap: '0 8px' }}>
          <Status value={n.state} />
          <span className="faint">
            <Time at={n.state_since} />
          </span>
        </span>
      ),
    },
    { key: 'address', title: t('nodes.address'), text: (n) => n.address ?? '', render: (n) => n.address && <span className="mono">{n.address}</span> },
    { key: 'version', title: t('nodes.agentVersion'), text: (n) => n.agent_version ?? '', render: (n) => n.agent_version },
    { key: 'running', title: t('nodes.running'), num: true, text: (n) => String(n.running), render: (n) => (n.running ? <Link to="/jobs" search={{ node_id: n.id, status: 'running' } as never}>{n.running}</Link> : <span className="faint">0</span>) },
    { key: 'load', title: t('nodes.load'), num: true, extra: true, text: (n) => String(n.load_1m ?? ''), render: (n) => n.load_1m?.toFixed(2) },
    { key: 'seen', title: t('nodes.lastSeen'), text: (n) => n.last_seen_at ?? '', render: (n) => <Time at={n.last_seen_at} /> },
    { key: 'enrolled', title: t('nodes.enrolledAt'), extra: true, text: (n) => n.enrolled_at, render: (n) => <Time at={n.enrolled_at} /> },
    { key: 'id', title: 'ID', extra: true, text: (n) => n.id, render: (n) => <Clip mono width={130}>{n.id}</Clip> },
    { key: 'actions', title: '', render: (n) => <Actions node={n} /> },
  ];
  const enrol = can('nodes.manage') && (
    <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setUrl({ enrol: '1' })}>
      {t('nodes.enrol')}
    </Button>
  );
  return (
    <div className="page">
      <PageHead title={t('nav.nodes')} sub={t('nodes.lead')} actions={<><Link to="/nodes/policies">{t('nodePolicy.title')}</Link>{enrol}</>} />
      <ResourceList<Node>
        id="nodes"
        label={t('nav.nodes')}
        queryKey={['nodes', 'list']}
        load={api.nodes.list}
        columns={columns}
        rowKey={(n) => n.id}
        searchable
        facets={[{ param: 'state', title: t('field.status'), options: ['online', 'offline', 'revoked'].map((v) => ({ value: v, label: t(`status.${v}` as 'status.online') })) }]}
        exportName="nodes"
        empty={
          <Empty icon={Server} title={t('nodes.empty')} text={t('nodes.emptyText')}>
            {enrol}
          </Empty>
        }
      />
      {url.enrol && can('nodes.manage') && <EnrolDialog onClose={() => setUrl({ enrol: undefined })} />}
    </div>
  );
}

function Actions({ node }: { node: Node }) {
  const { t } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const { modal } = App.useApp();
  const [renaming, setRenaming] = useState(false);
  const collect = useAct({ run: () => api.nodes.collect(node.id), done: t('nodes.collecting') });
  const revoke = useAct({ run: () => api.nodes.revoke(node.id), done: t('nodes.revoked'), stale: [['nodes'], ['home']] });
  const live = node.state !== 'revoked';
  const items = [
    ...(can('jobs.run') && live ? [{ key: 'run', label: t('jobs.runScript'), onClick: () => void navigate({ to: '/jobs/run', search: { node: node.id } as never }) }] : []),
    ...(node.host_instance_id ? [{ key: 'record', label: t('nodes.see'), onClick: () => void navigate({ to: `/cmdb/host/${node.host_instance_id}` }) }] : []),
    { key: 'jobs', label: t('nodes.jobs'), onClick: () => void navigate({ to: '/jobs', search: { node_id: node.id } as never }) },
    ...(can('nodes.manage') && live
      ? [
          { key: 'collect', label: t('nodes.collect'), disabled: node.state !== 'online', onClick: () => collect.mutate() },
          { key: 'rename', label: t('nodes.rename'), onClick: () => setRenaming(true) },
          {
            key: 'revoke',
            danger: true,
            label: t('nodes.revoke'),
            onClick: () =>
              modal.confirm({
                title: t('nodes.revokeTitle', { name: node.name }),
                content: t('nodes.revokeText'),
                okText: t('nodes.revoke'),
                okButtonProps: { danger: true },
                onOk: () => revoke.mutateAsync().catch(() => {}),
              }),
          },
        ]
      : []),
  ];
  return (
    <>
      <Dropdown trigger={['click']} menu={{ items }} placement="bottomRight">
        <button type="button" className="icon-btn" aria-label={t('nodes.actions', { name: node.name })}>
          <Icon of={MoreHorizontal} />
        </button>
      </Dropdown>
      {renaming && <Rename node={node} onClose={() => setRenaming(false)} />}
    </>
  );
}

function Rename({ node, onClose }: { node: Node; onClose: () => void }) {
  const { t } = useI18n();
  const [form] = Form.useForm<{ name: string }>();
  const rename = useAct<{ name: string }>({ run: (v) => api.nodes.rename(node.id, v.name.trim()), done: t('cmdb.saved'), stale: [['nodes']], then: onClose });
  return (
    <Modal open onCancel={onClose} title={t('nodes.rename')} okText={t('action.save')} onOk={() => form.submit()} confirmLoading={rename.isPending}>
      <Form form={form} layout="vertical" initialValues={{ name: node.name }} onFinish={(v) => rename.mutate(v)}>
        <Form.Item name="name" label={t('nodes.name')} rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
          <Input autoFocus maxLength={200} />
        </Form.Item>
      </Form>
    </Modal>
  );
}
