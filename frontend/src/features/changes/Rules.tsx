import { App, Button, Checkbox, Form, Input, InputNumber, Modal, Select, Space } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Pencil, Plus, ShieldQuestion, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { changes, type ChangeAct, type ChangeRule } from '../../api/changes';
import { api } from '../../api/endpoints';
import { Chip, Empty, Icon, Loading, PageHead, Panel, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { ChangeTabs } from './Changes';

const ACTS: ChangeAct[] = ['create', 'update', 'delete'];

/** Which changes need approval, and whose. */
export default function Rules() {
  const { t } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const rules = useQuery({ queryKey: ['changes', 'rules'], queryFn: changes.rules });
  const [editing, setEditing] = useState<ChangeRule | 'new' | null>(null);
  const remove = useAct<string>({ run: (n) => changes.deleteRule(n), stale: [['changes', 'rules']] });
  const items = rules.data?.items ?? [];
  return (
    <div className="page">
      <PageHead
        title={t('changes.rules')}
        crumbs={[{ label: t('changes.title'), to: '/changes' }]}
        sub={t('changes.rulesLead')}
        actions={
          can('cmdb.model') && (
            <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
              {t('changes.newRule')}
            </Button>
          )
        }
      />
      <ChangeTabs />
      {rules.error ? <ProblemNote error={rules.error} retry={() => void rules.refetch()} /> : null}
      {rules.isPending && <Loading />}
      {rules.data && items.length === 0 && <Empty icon={ShieldQuestion} title={t('changes.noRules')} />}
      {items.length > 0 && (
        <Panel flush>
          <div className="table-wrap">
            <table className="t stacked">
              <thead>
                <tr>
                  <th scope="col">{t('changes.ruleName')}</th>
                  <th scope="col">{t('changes.what')}</th>
                  <th scope="col">{t('changes.ruleApprovers')}</th>
                  <th scope="col">
                    <span className="vh">{t('action.edit')}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {items.map((r) => (
                  <tr key={r.name}>
                    <td className="first">
                      {r.name} {!r.enabled && <Chip>{t('status.disabled')}</Chip>}
                    </td>
                    <td data-label={t('changes.what')} style={{ overflowWrap: 'anywhere' }}>
                      {[r.acts.map((a) => t(`changeAct.${a}`)).join(', '), r.models.join(', '), r.attributes.join(', '), r.filter ?? '', r.at_least > 1 ? `≥ ${r.at_least}` : ''].filter(Boolean).join(' · ') || '*'}
                    </td>
                    <td data-label={t('changes.ruleApprovers')}>{r.approvers.join(', ')}</td>
                    <td className="num" data-label="">
                      {can('cmdb.model') && (
                        <Space size={0}>
                          <button type="button" className="icon-btn" aria-label={t('changes.editRule', { name: r.name })} onClick={() => setEditing(r)}>
                            <Icon of={Pencil} />
                          </button>
                          <button
                            type="button"
                            className="icon-btn"
                            aria-label={t('changes.deleteRule', { name: r.name })}
                            onClick={() =>
                              modal.confirm({
                                title: t('changes.deleteRule', { name: r.name }),
                                content: t('changes.deleteRuleText'),
                                okText: t('action.delete'),
                                okButtonProps: { danger: true },
                                onOk: () => remove.mutateAsync(r.name).catch(() => {}),
                              })
                            }
                          >
                            <Icon of={Trash2} />
                          </button>
                        </Space>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
      )}
      {editing && <RuleDialog rule={editing === 'new' ? undefined : editing} onClose={() => setEditing(null)} />}
    </div>
  );
}

function RuleDialog({ rule, onClose }: { rule?: ChangeRule; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [form] = Form.useForm<ChangeRule>();
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const save = useAct<ChangeRule>({ run: (r) => changes.putRule({ ...r, filter: r.filter?.trim() ? r.filter.trim() : null, title: rule?.title ?? {} }), stale: [['changes', 'rules']], then: onClose });
  return (
    <Modal open title={rule ? t('changes.editRule', { name: rule.name }) : t('changes.newRule')} okText={t('action.save')} confirmLoading={save.isPending} onOk={() => form.submit()} onCancel={onClose} destroyOnHidden>
      <Form<ChangeRule> form={form} layout="vertical" initialValues={rule ?? { models: [], acts: [], attributes: [], at_least: 1, approvers: ['role:administrator'], enabled: true }} onFinish={(r) => save.mutate(r)}>
        <Form.Item name="name" label={t('changes.ruleName')} rules={[{ required: true, message: t('form.required') }, { pattern: /^[a-z0-9-]{1,60}$/, message: 'a-z 0-9 -' }]}>
          <Input disabled={Boolean(rule)} className="mono-input" />
        </Form.Item>
        <Form.Item name="models" label={t('changes.ruleModels')}>
          <Select mode="multiple" optionFilterProp="label" options={(models.data?.items ?? []).map((m) => ({ value: m.name, label: tl(m.title) || m.name }))} />
        </Form.Item>
        <Form.Item name="acts" label={t('changes.ruleActs')}>
          <Select mode="multiple" options={ACTS.map((a) => ({ value: a, label: t(`changeAct.${a}`) }))} />
        </Form.Item>
        <Form.Item name="attributes" label={t('changes.ruleAttributes')}>
          <Select mode="tags" open={false} tokenSeparators={[',']} suffixIcon={null} />
        </Form.Item>
        <Form.Item name="filter" label={t('changes.ruleFilter')}>
          <Input className="mono-input" placeholder={'env == "prod"'} spellCheck={false} />
        </Form.Item>
        <Form.Item name="at_least" label={t('changes.ruleAtLeast')}>
          <InputNumber min={1} max={10000} precision={0} style={{ width: '100%' }} />
        </Form.Item>
        <Form.Item name="approvers" label={t('changes.ruleApprovers')} extra={t('changes.ruleApproversHint')} rules={[{ required: true, message: t('form.required') }]}>
          <Select mode="tags" open={false} tokenSeparators={[',']} suffixIcon={null} />
        </Form.Item>
        <Form.Item name="enabled" valuePropName="checked" noStyle>
          <Checkbox>{t('changes.ruleEnabled')}</Checkbox>
        </Form.Item>
      </Form>
    </Modal>
  );
}
