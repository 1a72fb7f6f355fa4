/** Policies: how the agents of some nodes are to work. */
import { App, Button, Drawer, Form, Input, InputNumber, Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Pencil, Plus, SlidersHorizontal, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { Empty, Icon, Loading, PageHead, Panel, ProblemNote, Time, Who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { nodeApi, type NodePolicy, type PolicyBody } from './api';

export default function Policies() {
  const { t } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const [editing, setEditing] = useState<NodePolicy | 'new' | null>(null);
  const found = useQuery({ queryKey: ['nodes', 'policies'], queryFn: nodeApi.policies });
  const remove = useAct<NodePolicy>({ run: (p) => nodeApi.deletePolicy(p.id), done: t('cmdb.deleted'), stale: [['nodes']] });
  const add = can('nodes.manage') && (
    <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
      {t('nodePolicy.add')}
    </Button>
  );
  const decides = (p: NodePolicy) =>
    [
      typeof p.settings.metrics_s === 'number' && `${t('nodePolicy.metricsEvery')}: ${p.settings.metrics_s === 0 ? t('nodePolicy.noMetrics') : t('nodePolicy.seconds', { n: p.settings.metrics_s })}`,
      typeof p.settings.metrics_send_s === 'number' && `${t('nodePolicy.sendEvery')}: ${t('nodePolicy.seconds', { n: p.settings.metrics_send_s })}`,
      p.settings.scrapes?.length && `${t('nodePolicy.scrapes')}: ${p.settings.scrapes.map((s) => s.name).join(', ')}`,
      p.settings.checks?.length && `${t('nodePolicy.checks')}: ${p.settings.checks.map((c) => c.name).join(', ')}`,
    ].filter(Boolean);
  return (
    <div className="page">
      <PageHead title={t('nodePolicy.title')} crumbs={[{ label: t('nav.nodes'), to: '/nodes' }]} sub={t('nodePolicy.lead')} actions={add} />
      {found.error ? <ProblemNote error={found.error} retry={() => void found.refetch()} /> : null}
      {found.isPending && <Loading />}
      {found.data && (
        <Panel flush>
          {found.data.items.length === 0 ? (
            <Empty icon={SlidersHorizontal} title={t('nodePolicy.empty')} text={t('nodePolicy.emptyText')}>
              {add}
            </Empty>
          ) : (
            <div className="table-wrap" tabIndex={0} role="region" aria-label={t('nodePolicy.title')}>
              <table className="t">
                <thead>
                  <tr>
                    <th scope="col" className="num">{t('nodePolicy.place')}</th>
                    <th scope="col">{t('nodePolicy.name')}</th>
                    <th scope="col">{t('nodePolicy.nodes')}</th>
                    <th scope="col">{t('nodePolicy.decides')}</th>
                    <th scope="col">{t('field.updated')}</th>
                    <th scope="col">{t('list.actions')}</th>
                  </tr>
                </thead>
                <tbody>
                  {found.data.items.map((p) => (
                    <tr key={p.id}>
                      <td className="num">{p.place}</td>
                      <td>{p.name}</td>
                      <td className="mono">{p.nodes}</td>
                      <td style={{ whiteSpace: 'normal' }}>
                        {decides(p).map((line) => (
                          <div key={String(line)}>{line}</div>
                        ))}
                      </td>
                      <td>
                        <Time at={p.updated_at} /> <Who actor={p.updated_by} />
                      </td>
                      <td>
                        {can('nodes.manage') && (
                          <span className="row">
                            <Button size="small" icon={<Icon of={Pencil} />} aria-label={`${t('action.edit')} ${p.name}`} onClick={() => setEditing(p)} />
                            <Button
                              size="small"
                              danger
                              icon={<Icon of={Trash2} />}
                              aria-label={`${t('action.delete')} ${p.name}`}
                              onClick={() =>
                                modal.confirm({
                                  title: t('nodePolicy.deleteTitle', { name: p.name }),
                                  content: t('nodePolicy.deleteText'),
                                  okText: t('action.delete'),
                                  okButtonProps: { danger: true },
                                  onOk: () => remove.mutateAsync(p).catch(() => {}),
                                })
                              }
                            />
                          </span>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Panel>
      )}
      <Drawer open={editing !== null} onClose={() => setEditing(null)} size={Math.min(640, window.innerWidth)} title={editing === 'new' ? t('nodePolicy.add') : t('nodePolicy.edit')} destroyOnHidden>
        {editing && <PolicyForm policy={editing === 'new' ? null : editing} onDone={() => setEditing(null)} />}
      </Drawer>
    </div>
  );
}

function PolicyForm({ policy, onDone }: { policy: NodePolicy | null; onDone: () => void }) {
  const { t } = useI18n();
  const [form] = Form.useForm<PolicyBody>();
  const save = useAct<PolicyBody, NodePolicy>({
    run: (b) => (policy ? nodeApi.changePolicy(policy.id, { ...b, version: policy.version }) : nodeApi.createPolicy(b)),
    done: t('cmdb.saved'),
    stale: [['nodes']],
    quiet: true,
    then: onDone,
  });
  // What is left empty others decide, so it is left out.
  const submit = (v: PolicyBody) => {
    const given = Object.entries(v.settings ?? {}).filter(([, x]) => x !== null && x !== undefined && !(Array.isArray(x) && x.length === 0));
    const clean = <T extends object>(list: T[]) => list.map((x) => Object.fromEntries(Object.entries(x).filter(([, y]) => y !== null && y !== undefined)) as T);
    const settings = Object.fromEntries(given.map(([k, x]) => [k, Array.isArray(x) ? clean(x) : x]));
    save.mutate({ name: v.name.trim(), nodes: v.nodes.trim(), place: v.place ?? 0, settings });
  };
  const required = [{ required: true, whitespace: true, message: t('form.required') }];
  const kinds = (['process', 'tcp', 'http', 'unit'] as const).map((k) => ({ value: k, label: t(`nodePolicy.kind.${k}`) }));
  const list = { border: '1px solid var(--p-border)', borderRadius: 6, padding: 10, marginBottom: 10 } as const;
  return (
    <Form form={form} layout="vertical" initialValues={policy ?? { place: 0, nodes: '*', settings: {} }} onFinish={submit}>
      <Form.Item name="name" label={t('nodePolicy.name')} rules={required}>
        <Input autoFocus maxLength={100} />
      </Form.Item>
      <Form.Item name="nodes" label={t('nodePolicy.nodes')} extra={t('nodePolicy.nodesHelp')} rules={required}>
        <Input maxLength={1000} className="mono" />
      </Form.Item>
      <Form.Item name="place" label={t('nodePolicy.place')} extra={t('nodePolicy.placeHelp')}>
        <InputNumber precision={0} min={-1000} max={1000} />
      </Form.Item>
      <div className="row wrap">
        <Form.Item name={['settings', 'metrics_s']} label={t('nodePolicy.metricsEvery')} extra={t('nodePolicy.metricsHelp')}>
          <InputNumber precision={0} min={0} max={3600} suffix="s" />
        </Form.Item>
        <Form.Item name={['settings', 'metrics_send_s']} label={t('nodePolicy.sendEvery')} extra={t('nodePolicy.leaveOut')}>
          <InputNumber precision={0} min={1} max={3600} suffix="s" />
        </Form.Item>
      </div>
      <h3 className="dim">{t('nodePolicy.scrapes')}</h3>
      <Form.List name={['settings', 'scrapes']}>
        {(fields, { add, remove }) => (
          <>
            {fields.map((f) => (
              <div key={f.key} style={list}>
                <Form.Item name={[f.name, 'name']} label={t('nodePolicy.job')} rules={required}>
                  <Input maxLength={60} />
                </Form.Item>
                <Form.Item name={[f.name, 'url']} label="URL" extra={t('nodePolicy.urlHelp')} rules={required}>
                  <Input maxLength={300} className="mono" placeholder="http://127.0.0.1:9187/metrics" />
                </Form.Item>
                <Form.Item name={[f.name, 'max_samples']} label={t('nodePolicy.maxSamples')}>
                  <InputNumber precision={0} min={1} max={5000} placeholder="1000" />
                </Form.Item>
                <Button size="small" danger icon={<Icon of={Trash2} />} onClick={() => remove(f.name)}>
                  {t('nodePolicy.remove')}
                </Button>
              </div>
            ))}
            <Button icon={<Icon of={Plus} />} onClick={() => add({})} disabled={fields.length >= 20} style={{ marginBottom: 14 }}>
              {t('nodePolicy.addScrape')}
            </Button>
          </>
        )}
      </Form.List>
      <h3 className="dim">{t('nodePolicy.checks')}</h3>
      <Form.List name={['settings', 'checks']}>
        {(fields, { add, remove }) => (
          <>
            {fields.map((f) => (
              <div key={f.key} style={list}>
                <Form.Item name={[f.name, 'name']} label={t('nodePolicy.name')} rules={required}>
                  <Input maxLength={60} />
                </Form.Item>
                <Form.Item name={[f.name, 'kind']} label={t('nodePolicy.checkKind')} rules={[{ required: true, message: t('form.required') }]}>
                  <Select options={kinds} />
                </Form.Item>
                <Form.Item name={[f.name, 'target']} label={t('nodePolicy.target')} extra={t('nodePolicy.targetHelp')} rules={required}>
                  <Input maxLength={300} className="mono" />
                </Form.Item>
                <Form.Item name={[f.name, 'least']} label={t('nodePolicy.least')}>
                  <InputNumber precision={0} min={1} max={10_000} placeholder="1" />
                </Form.Item>
                <Button size="small" danger icon={<Icon of={Trash2} />} onClick={() => remove(f.name)}>
                  {t('nodePolicy.remove')}
                </Button>
              </div>
            ))}
            <Button icon={<Icon of={Plus} />} onClick={() => add({ kind: 'process' })} disabled={fields.length >= 20} style={{ marginBottom: 14 }}>
              {t('nodePolicy.addCheck')}
            </Button>
          </>
        )}
      </Form.List>
      {save.error ? <ProblemNote error={save.error} /> : null}
      <div className="row">
        <Button type="primary" htmlType="submit" loading={save.isPending}>
          {t('action.save')}
        </Button>
        <Button onClick={onDone}>{t('action.cancel')}</Button>
      </div>
    </Form>
  );
}
