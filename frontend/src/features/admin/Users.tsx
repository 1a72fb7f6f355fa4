import { App, Button, Dropdown, Form, Input, Modal, Select } from 'antd';
import { MoreHorizontal, Plus, Users as UsersIcon } from 'lucide-react';
import { useState } from 'react';
import { Problem } from '../../api/client';
import { api } from '../../api/endpoints';
import type { Role, User } from '../../api/types';
import { Chip, Clip, Empty, Icon, PageHead, ProblemNote, Status, Time } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useSession } from '../../session';

export const ROLES: Role[] = ['administrator', 'operator', 'viewer'];

export default function Users() {
  const { t } = useI18n();
  const me = useSession();
  const { modal } = App.useApp();
  const [editing, setEditing] = useState<User | 'new' | null>(null);
  const [password, setPassword] = useState<User | null>(null);
  const close = useAct<User>({ run: (u) => api.users.update(u.id, { disabled: !u.disabled }), done: t('cmdb.saved'), stale: [['users']] });
  const columns: ListColumn<User>[] = [
    {
      key: 'name',
      title: t('users.name'),
      text: (u) => u.name,
      render: (u) => (
        <span className="row">
          <Clip width={220}>{u.name}</Clip>
          {u.id === me.id && <Chip tone="accent">{t('users.you')}</Chip>}
        </span>
      ),
    },
    { key: 'display', title: t('users.displayName'), text: (u) => u.display_name, render: (u) => <Clip width={240}>{u.display_name}</Clip> },
    { key: 'role', title: t('users.role'), text: (u) => u.role, render: (u) => t(`role.${u.role}`) },
    { key: 'state', title: t('field.status'), text: (u) => (u.disabled ? 'disabled' : 'active'), render: (u) => <Status value={u.disabled ? 'disabled' : 'enabled'} label={u.disabled ? t('users.closed') : t('users.open')} /> },
    { key: 'created', title: t('field.created'), text: (u) => u.created_at, render: (u) => <Time at={u.created_at} /> },
    {
      key: 'actions',
      title: '',
      render: (u) => (
        <Dropdown
          trigger={['click']}
          placement="bottomRight"
          menu={{
            items: [
              { key: 'edit', label: t('action.edit'), onClick: () => setEditing(u) },
              { key: 'password', label: t('users.setPassword'), onClick: () => setPassword(u) },
              {
                key: 'close',
                danger: !u.disabled,
                disabled: u.id === me.id,
                label: u.disabled ? t('users.reopen') : t('users.close'),
                onClick: () =>
                  u.disabled
                    ? close.mutate(u)
                    : modal.confirm({ title: t('users.closeTitle', { name: u.name }), content: t('users.closeText'), okText: t('users.close'), okButtonProps: { danger: true }, onOk: () => close.mutateAsync(u).catch(() => {}) }),
              },
            ],
          }}
        >
          <button type="button" className="icon-btn" aria-label={t('nodes.actions', { name: u.name })}>
            <Icon of={MoreHorizontal} />
          </button>
        </Dropdown>
      ),
    },
  ];
  return (
    <div className="page">
      <PageHead
        title={t('nav.users')}
        actions={
          <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
            {t('users.new')}
          </Button>
        }
      />
      <ResourceList<User> id="users" label={t('nav.users')} queryKey={['users', 'list']} load={api.users.list} columns={columns} rowKey={(u) => u.id} exportName="users" empty={<Empty icon={UsersIcon} title={t('users.empty')} />} />
      {editing !== null && <UserDialog user={editing === 'new' ? undefined : editing} onClose={() => setEditing(null)} />}
      {password && <PasswordDialog user={password} onClose={() => setPassword(null)} />}
    </div>
  );
}

interface Draft {
  name: string;
  display_name: string;
  role: Role;
  password: string;
}

function UserDialog({ user, onClose }: { user?: User; onClose: () => void }) {
  const { t } = useI18n();
  const [form] = Form.useForm<Draft>();
  const save = useAct<Draft, User>({
    run: (d) => (user ? api.users.update(user.id, { display_name: d.display_name ?? '', role: d.role }) : api.users.create({ ...d, name: d.name.trim(), display_name: d.display_name ?? '' })),
    done: t('cmdb.saved'),
    stale: [['users']],
    quiet: true,
    then: onClose,
  });
  return (
    <Modal open onCancel={onClose} title={user ? t('users.edit', { name: user.name }) : t('users.new')} okText={t('action.save')} confirmLoading={save.isPending} onOk={() => form.submit()}>
      <Form<Draft>
        form={form}
        layout="vertical"
        initialValues={user ?? { role: 'operator', display_name: '' }}
        onFinish={(d) =>
          save.mutate(d, {
            onError: (e) => {
              if (e instanceof Problem && e.pointer) form.setFields([{ name: e.pointer.slice(1) as keyof Draft, errors: [e.detail] }]);
            },
          })
        }
      >
        {!user && (
          <Form.Item name="name" label={t('users.name')} rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
            <Input autoComplete="off" autoCapitalize="off" spellCheck={false} autoFocus />
          </Form.Item>
        )}
        <Form.Item name="display_name" label={t('users.displayName')}>
          <Input autoComplete="off" />
        </Form.Item>
        <Form.Item name="role" label={t('users.role')}>
          <Select options={ROLES.map((r) => ({ value: r, label: `${t(`role.${r}`)}: ${t(`role.${r}.text`)}` }))} />
        </Form.Item>
        {!user && (
          <Form.Item name="password" label={t('login.password')} extra={t('users.passwordHint')} rules={[{ required: true, message: t('form.required') }]}>
            <Input.Password autoComplete="new-password" />
          </Form.Item>
        )}
        <ProblemNote error={save.error} />
      </Form>
    </Modal>
  );
}

function PasswordDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const { t } = useI18n();
  const [form] = Form.useForm<{ password: string }>();
  const save = useAct<{ password: string }>({ run: (d) => api.users.update(user.id, { password: d.password }), done: t('profile.changed'), quiet: true, then: onClose });
  return (
    <Modal open onCancel={onClose} title={t('users.passwordOf', { name: user.name })} okText={t('action.save')} confirmLoading={save.isPending} onOk={() => form.submit()}>
      <Form form={form} layout="vertical" onFinish={(d) => save.mutate(d)}>
        <Form.Item name="password" label={t('profile.new')} extra={t('users.passwordHint')} rules={[{ required: true, message: t('form.required') }]}>
          <Input.Password autoComplete="new-password" autoFocus />
        </Form.Item>
        <ProblemNote error={save.error} />
      </Form>
    </Modal>
  );
}
