import { App, Button, Drawer, Form, Input, Select, Space, Switch } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Pencil, Plus, ShieldCheck, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { DataRole, DataRule } from '../../api/types';
import { Chip, Empty, Icon, Loading, Note, PageHead, Panel, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';

const EVERYONE = 'everyone';

/** Which records people see and change: roles with rules over the CMDB. */
export default function DataRoles() {
  const { t, tl } = useI18n();
  const { modal } = App.useApp();
  const [editing, setEditing] = useState<DataRole | 'new' | null>(null);
  const roles = useQuery({ queryKey: ['data-roles'], queryFn: api.dataRoles.list });
  const remove = useAct<DataRole>({ run: (r) => api.dataRoles.delete(r.name), done: t('cmdb.deleted'), stale: [['data-roles']] });
  return (
    <div className="page">
      <PageHead
        title={t('dataRoles.title')}
        sub={t('dataRoles.lead')}
        actions={
          <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
            {t('dataRoles.new')}
          </Button>
        }
      />
      {roles.error ? <ProblemNote error={roles.error} retry={() => void roles.refetch()} /> : null}
      {roles.isPending && <Loading />}
      {roles.data?.items.length === 0 && <Empty icon={ShieldCheck} title={t('dataRoles.empty')} text={t('dataRoles.emptyText')} />}
      {roles.data && roles.data.items.length > 0 && (
        <Panel flush>
          <div className="table-wrap">
            <table className="t stacked">
              <thead>
                <tr>
                  <th scope="col">{t('dataRoles.role')}</th>
                  <th scope="col">{t('dataRoles.members')}</th>
                  <th scope="col">{t('dataRoles.rules')}</th>
                  <th scope="col">
                    <span className="vh">{t('action.edit')}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {roles.data.items.map((r) => (
                  <tr key={r.name}>
                    <td className="first" data-label={t('dataRoles.role')}>
                      {tl(r.title) || r.name}
                      <div className="faint mono">{r.name}</div>
                    </td>
                    <td data-label={t('dataRoles.members')}>{r.name === EVERYONE ? t('dataRoles.all') : r.members.length}</td>
                    <td data-label={t('dataRoles.rules')}>
                      {r.rules.length === 0 && <span className="dim">{t('dataRoles.nothing')}</span>}
                      {r.rules.map((rule, i) => (
                        <div key={i} className="row wrap" style={{ gap: 4 }}>
                          <span>{rule.models.includes('*') ? t('kinds.anything') : rule.models.join(', ')}</span>
                          {rule.filter && <code>{rule.filter}</code>}
                          {rule.write && <Chip tone="accent">{t('dataRoles.write')}</Chip>}
                          {rule.hidden?.length ? <Chip>{t('dataRoles.hides', { names: rule.hidden.join(', ') })}</Chip> : null}
                        </div>
                      ))}
                    </td>
                    <td className="num" data-label="">
                      <Space size={0}>
                        <button type="button" className="icon-btn" aria-label={t('dataRoles.edit', { name: r.name })} onClick={() => setEditing(r)}>
                          <Icon of={Pencil} />
                        </button>
                        <button
                          type="button"
                          className="icon-btn"
                          aria-label={t('dataRoles.delete', { name: r.name })}
                          onClick={() =>
                            modal.confirm({ title: t('dataRoles.delete', { name: r.name }), content: t('dataRoles.deleteText'), okText: t('action.delete'), okButtonProps: { danger: true }, onOk: () => remove.mutateAsync(r).catch(() => {}) })
                          }
                        >
                          <Icon of={Trash2} />
                        </button>
                      </Space>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
      )}
      {editing !== null && <RoleDrawer role={editing === 'new' ? undefined : editing} onClose={() => setEditing(null)} />}
    </div>
  );
}

interface Draft {
  name: string;
  title_en: string;
  title_zh: string;
  description?: string;
  members: string[];
  rules: DataRule[];
}

function RoleDrawer({ role, onClose }: { role?: DataRole; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [form] = Form.useForm<Draft>();
  const name = Form.useWatch('name', form) ?? role?.name;
  const rules = Form.useWatch('rules', form) ?? role?.rules ?? [];
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const users = useQuery({ queryKey: ['users', 'list', 'all'], queryFn: () => api.users.list({ limit: 500 }) });
  const known = models.data?.items ?? [];
  const names = (rule?: DataRule) => {
    const covers = (model: string) => (rule?.models ?? []).some((m) => (m.endsWith('*') ? model.startsWith(m.slice(0, -1)) : m === model));
    return [...new Set(known.filter((m) => covers(m.name)).flatMap((m) => m.attributes.map((a) => a.name)))].sort();
  };
  const save = useAct<Draft, DataRole>({
    run: (d) => {
      const title = { en: d.title_en || d.title_zh || d.name, zh: d.title_zh || d.title_en || d.name };
      const clean = (d.rules ?? []).map(({ filter, ...r }) => ({ ...r, write: Boolean(r.write), ...(filter?.trim() ? { filter: filter.trim() } : {}) }));
      return api.dataRoles.save({ name: d.name, title, description: d.description ?? '', rules: clean, members: d.name === EVERYONE ? [] : (d.members ?? []), version: role?.version ?? 0 });
    },
    done: t('cmdb.saved'),
    stale: [['data-roles']],
    quiet: true,
    then: onClose,
  });
  return (
    <Drawer
      open
      onClose={onClose}
      size={Math.min(720, window.innerWidth)}
      title={role ? t('dataRoles.edit', { name: role.name }) : t('dataRoles.new')}
      extra={
        <Button type="primary" loading={save.isPending} onClick={() => form.submit()}>
          {t('action.save')}
        </Button>
      }
    >
      <Form<Draft>
        form={form}
        layout="vertical"
        initialValues={{
          name: role?.name,
          title_en: role?.title.en ?? '',
          title_zh: role?.title.zh ?? '',
          description: role?.description ?? '',
          members: role?.members ?? [],
          rules: role?.rules ?? [{ models: [], write: false }],
        }}
        onFinish={(d) => save.mutate(d)}
      >
        <div className="form-grid">
          <Form.Item name="name" label={t('dataRoles.name')} extra={t('dataRoles.nameHint')} rules={[{ required: true, message: t('form.required') }, { pattern: /^[a-z][a-z0-9_-]{1,59}$/, message: t('dataRoles.nameRule') }]}>
            <Input disabled={Boolean(role)} className="mono-input" />
          </Form.Item>
          <Form.Item name="title_en" label={t('cmdb.titleEn')}>
            <Input maxLength={100} />
          </Form.Item>
          <Form.Item name="title_zh" label={t('cmdb.titleZh')}>
            <Input maxLength={100} />
          </Form.Item>
        </div>
        {name === EVERYONE ? (
          <Note tone="info">{t('dataRoles.everyone')}</Note>
        ) : (
          <Form.Item name="members" label={t('dataRoles.members')} extra={t('dataRoles.membersHint')}>
            <Select
              mode="multiple"
              optionFilterProp="label"
              options={(users.data?.items ?? []).filter((u) => u.role !== 'administrator').map((u) => ({ value: u.id, label: u.display_name && u.display_name !== u.name ? `${u.name} (${u.display_name})` : u.name }))}
            />
          </Form.Item>
        )}
        <Form.List name="rules">
          {(fields, { add, remove }) => (
            <div className="stack">
              {fields.map((f, i) => (
                <Panel
                  key={f.key}
                  title={t('dataRoles.rule', { n: i + 1 })}
                  actions={
                    <button type="button" className="icon-btn" aria-label={t('dataRoles.removeRule', { n: i + 1 })} onClick={() => remove(f.name)}>
                      <Icon of={Trash2} />
                    </button>
                  }
                >
                  <Form.Item name={[f.name, 'models']} label={t('dataRoles.models')} extra={t('dataRoles.modelsHint')} rules={[{ required: true, message: t('form.required') }]}>
                    <Select mode="tags" optionFilterProp="label" options={[{ value: '*', label: t('kinds.anything') }, ...known.map((m) => ({ value: m.name, label: tl(m.title) || m.name }))]} />
                  </Form.Item>
                  <Form.Item name={[f.name, 'filter']} label={t('dataRoles.filter')} extra={t('dataRoles.filterHint')}>
                    <Input className="mono-input" spellCheck={false} autoCapitalize="off" placeholder={'env == "prod" && owner == "payments"'} />
                  </Form.Item>
                  <Form.Item name={[f.name, 'hidden']} label={t('dataRoles.hidden')} extra={t('dataRoles.hiddenHint')}>
                    <Select mode="multiple" options={names(rules[f.name]).map((n) => ({ value: n, label: n }))} />
                  </Form.Item>
                  <Form.Item name={[f.name, 'write']} label={t('dataRoles.mayWrite')} extra={t('dataRoles.mayWriteHint')} valuePropName="checked">
                    <Switch />
                  </Form.Item>
                </Panel>
              ))}
              <div>
                <Button icon={<Icon of={Plus} />} onClick={() => add({ models: [], write: false })}>
                  {t('dataRoles.addRule')}
                </Button>
              </div>
              {fields.length === 0 && <Note tone="warn">{t('dataRoles.nothingText')}</Note>}
            </div>
          )}
        </Form.List>
        <ProblemNote error={save.error} />
      </Form>
    </Drawer>
  );
}
