import { App, Button, Form, Input, Modal, Select } from 'antd';
import { KeyRound, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Role, Token } from '../../api/types';
import { Clip, CopyBox, Empty, Icon, PageHead, ProblemNote, Time } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useSession } from '../../session';
import { ROLES } from './Users';

export default function Tokens() {
  const { t } = useI18n();
  const { modal } = App.useApp();
  const [creating, setCreating] = useState(false);
  const remove = useAct<Token>({ run: (x) => api.tokens.delete(x.id), done: t('cmdb.deleted'), stale: [['tokens']] });
  const columns: ListColumn<Token>[] = [
    { key: 'name', title: t('tokens.name'), text: (x) => x.name, render: (x) => <Clip width={280}>{x.name}</Clip> },
    { key: 'role', title: t('users.role'), text: (x) => x.role, render: (x) => t(`role.${x.role}`) },
    { key: 'expires', title: t('tokens.expires'), text: (x) => x.expires_at ?? '', render: (x) => (x.expires_at ? <Time at={x.expires_at} /> : t('tokens.never')) },
    { key: 'used', title: t('tokens.used'), text: (x) => x.last_used_at ?? '', render: (x) => <Time at={x.last_used_at} /> },
    { key: 'created', title: t('field.created'), text: (x) => x.created_at, render: (x) => <Time at={x.created_at} /> },
    {
      key: 'actions',
      title: '',
      render: (x) => (
        <button
          type="button"
          className="icon-btn"
          aria-label={t('tokens.delete', { name: x.name })}
          onClick={() => modal.confirm({ title: t('tokens.deleteTitle', { name: x.name }), content: t('tokens.deleteText'), okText: t('action.delete'), okButtonProps: { danger: true }, onOk: () => remove.mutateAsync(x).catch(() => {}) })}
        >
          <Icon of={Trash2} />
        </button>
      ),
    },
  ];
  const create = (
    <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setCreating(true)}>
      {t('tokens.new')}
    </Button>
  );
  return (
    <div className="page">
      <PageHead title={t('nav.tokens')} sub={t('tokens.lead')} actions={create} />
      <ResourceList<Token>
        id="tokens"
        label={t('nav.tokens')}
        queryKey={['tokens', 'list']}
        load={api.tokens.list}
        columns={columns}
        rowKey={(x) => x.id}
        empty={
          <Empty icon={KeyRound} title={t('tokens.empty')} text={t('tokens.emptyText')}>
            {create}
          </Empty>
        }
      />
      {creating && <CreateDialog onClose={() => setCreating(false)} />}
    </div>
  );
}

interface Draft {
  name: string;
  role: Role;
  days: number;
}

function CreateDialog({ onClose }: { onClose: () => void }) {
  const { t } = useI18n();
  const me = useSession();
  const [form] = Form.useForm<Draft>();
  const [made, setMade] = useState<string | null>(null);
  const create = useAct<Draft, Token>({
    run: (d) => api.tokens.create({ name: d.name.trim(), role: d.role, ...(d.days ? { expires_in_days: d.days } : {}) }),
    stale: [['tokens']],
    quiet: true,
    then: (x) => setMade(x.token ?? ''),
  });
  // A token can do at most what its maker can.
  const roles = ROLES.slice(ROLES.indexOf(me.role));
  return (
    <Modal
      open
      onCancel={onClose}
      title={t('tokens.new')}
      mask={{ closable: false }}
      footer={made !== null ? <Button onClick={onClose}>{t('action.close')}</Button> : undefined}
      okText={t('tokens.create')}
      confirmLoading={create.isPending}
      onOk={() => form.submit()}
    >
      {made !== null ? (
        <div className="stack">
          <p>{t('tokens.once')}</p>
          <CopyBox text={made} label={t('tokens.token')} />
          <p className="dim">
            <code>Authorization: Bearer …</code>
          </p>
        </div>
      ) : (
        <Form<Draft> form={form} layout="vertical" initialValues={{ role: roles.at(-1), days: 90 }} onFinish={(d) => create.mutate(d)}>
          <Form.Item name="name" label={t('tokens.name')} rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
            <Input autoFocus placeholder={t('tokens.nameHint')} />
          </Form.Item>
          <Form.Item name="role" label={t('users.role')}>
            <Select options={roles.map((r) => ({ value: r, label: t(`role.${r}`) }))} />
          </Form.Item>
          <Form.Item name="days" label={t('tokens.expires')}>
            <Select options={[7, 30, 90, 365].map((n) => ({ value: n, label: t('nodes.days', { n }) })).concat([{ value: 0, label: t('tokens.never') }])} />
          </Form.Item>
          <ProblemNote error={create.error} />
        </Form>
      )}
    </Modal>
  );
}
