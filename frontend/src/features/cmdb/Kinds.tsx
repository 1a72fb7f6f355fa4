import { App, Button, Drawer, Form, Input, Select, Space } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Pencil, Plus, Trash2 } from 'lucide-react';
import { lazy, Suspense, useState } from 'react';
import { Problem } from '../../api/client';
import { api } from '../../api/endpoints';
import type { AssociationKind, Attribute, Cardinality, OnDelete } from '../../api/types';
import { Chip, Icon, Loading, PageHead, Panel, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n, type Text } from '../../i18n';
import { useCan } from '../../session';

const CodeEditor = lazy(() => import('../../components/CodeEditor'));

const CARDINALITIES: Cardinality[] = ['many_to_many', 'many_to_one', 'one_to_many', 'one_to_one'];
const ON_DELETE: OnDelete[] = ['unlink', 'keep', 'cascade', 'refuse'];
const IMPACTS: AssociationKind['impact'][] = ['none', 'source', 'destination'];

const part = (t: Text, lang: 'en' | 'zh') => (t && typeof t === 'object' ? (t[lang] ?? '') : (t ?? ''));

/** The kinds of associations: those that come with Plenum and those that are defined here. */
export default function Kinds() {
  const { t, tl } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const [editing, setEditing] = useState<AssociationKind | 'new' | null>(null);
  const kinds = useQuery({ queryKey: ['cmdb', 'kinds'], queryFn: api.cmdb.kinds });
  const remove = useAct<AssociationKind>({ run: (k) => api.cmdb.deleteKind(k.name), done: t('cmdb.deleted'), stale: [['cmdb', 'kinds']] });
  return (
    <div className="page">
      <PageHead
        title={t('kinds.title')}
        sub={t('kinds.lead')}
        crumbs={[{ label: t('nav.cmdb'), to: '/cmdb' }]}
        actions={
          can('cmdb.model') && (
            <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
              {t('kinds.new')}
            </Button>
          )
        }
      />
      {kinds.error ? <ProblemNote error={kinds.error} retry={() => void kinds.refetch()} /> : null}
      {kinds.isPending && <Loading />}
      {kinds.data && (
        <Panel flush>
          <div className="table-wrap">
            <table className="t stacked">
              <thead>
                <tr>
                  <th scope="col">{t('kinds.forward')}</th>
                  <th scope="col">{t('kinds.backward')}</th>
                  <th scope="col">{t('kinds.name')}</th>
                  <th scope="col">{t('kinds.cardinality')}</th>
                  <th scope="col">{t('kinds.pairs')}</th>
                  <th scope="col">{t('kinds.onDelete')}</th>
                  <th scope="col">
                    <span className="vh">{t('action.edit')}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {kinds.data.items.map((k) => (
                  <tr key={k.name}>
                    <td className="first" data-label={t('kinds.forward')}>{tl(k.forward)}</td>
                    <td data-label={t('kinds.backward')}>{tl(k.backward)}</td>
                    <td data-label={t('kinds.name')}>
                      <code>{k.name}</code> {k.builtin && <Chip>{t('kinds.builtin')}</Chip>}
                    </td>
                    <td data-label={t('kinds.cardinality')}>{t(`cardinality.${k.cardinality}`)}</td>
                    <td data-label={t('kinds.pairs')}>{k.pairs?.length ? pairsText(k) : t('kinds.anything')}</td>
                    <td data-label={t('kinds.onDelete')}>
                      {t(`onDelete.${k.on_delete.source}`)} / {t(`onDelete.${k.on_delete.destination}`)}
                    </td>
                    <td className="num" data-label="">
                      {can('cmdb.model') && (
                        <Space size={0}>
                          <button type="button" className="icon-btn" aria-label={t('kinds.edit', { name: k.name })} onClick={() => setEditing(k)}>
                            <Icon of={Pencil} />
                          </button>
                          <button
                            type="button"
                            className="icon-btn"
                            disabled={k.builtin}
                            aria-label={t('kinds.delete', { name: k.name })}
                            onClick={() => modal.confirm({ title: t('kinds.delete', { name: k.name }), okText: t('action.delete'), okButtonProps: { danger: true }, onOk: () => remove.mutateAsync(k).catch(() => {}) })}
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
      {editing !== null && <KindDrawer kind={editing === 'new' ? undefined : editing} onClose={() => setEditing(null)} />}
    </div>
  );
}

function pairsText(k: AssociationKind): string {
  const all = (k.pairs ?? []).map((p) => `${p.from} → ${p.to}`);
  return all.length > 3 ? `${all.slice(0, 3).join(', ')}, … (${all.length})` : all.join(', ');
}

interface Draft {
  name: string;
  forward_en: string;
  forward_zh: string;
  backward_en: string;
  backward_zh: string;
  cardinality: Cardinality;
  impact: AssociationKind['impact'];
  source: OnDelete;
  destination: OnDelete;
  pairs?: { from: string; to: string }[];
  attributes?: string;
}

function KindDrawer({ kind, onClose }: { kind?: AssociationKind; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [form] = Form.useForm<Draft>();
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const options = [{ value: '*', label: t('kinds.anything') }, ...(models.data?.items ?? []).map((m) => ({ value: m.name, label: tl(m.title) || m.name }))];
  const both = (en: string, zh: string) => ({ en: en || zh, zh: zh || en });
  const save = useAct<Draft, AssociationKind>({
    run: (d) =>
      api.cmdb.saveKind({
        name: d.name,
        forward: both(d.forward_en, d.forward_zh),
        backward: both(d.backward_en, d.backward_zh),
        cardinality: d.cardinality,
        impact: d.impact,
        on_delete: { source: d.source, destination: d.destination },
        pairs: d.pairs ?? [],
        attributes: d.attributes?.trim() ? (JSON.parse(d.attributes) as Attribute[]) : [],
        version: kind?.version ?? 0,
        builtin: kind?.builtin ?? false,
      }),
    done: t('cmdb.saved'),
    stale: [['cmdb', 'kinds']],
    quiet: true,
    then: onClose,
  });
  const named = (other: 'forward_zh' | 'backward_zh') => ({
    validator: (_: unknown, v: unknown) => (v || form.getFieldValue(other) ? Promise.resolve() : Promise.reject(new Error(t('form.required')))),
  });
  return (
    <Drawer
      open
      onClose={onClose}
      size={Math.min(640, window.innerWidth)}
      title={kind ? t('kinds.edit', { name: kind.name }) : t('kinds.new')}
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
          name: kind?.name,
          forward_en: part(kind?.forward ?? '', 'en'),
          forward_zh: part(kind?.forward ?? '', 'zh'),
          backward_en: part(kind?.backward ?? '', 'en'),
          backward_zh: part(kind?.backward ?? '', 'zh'),
          cardinality: kind?.cardinality ?? 'many_to_many',
          impact: kind?.impact ?? 'none',
          source: kind?.on_delete.source ?? 'unlink',
          destination: kind?.on_delete.destination ?? 'unlink',
          pairs: kind?.pairs ?? [],
          attributes: kind?.attributes?.length ? JSON.stringify(kind.attributes, null, 2) : '',
        }}
        onFinish={(d) =>
          save.mutate(d, {
            onError: (e) => {
              if (e instanceof Problem && e.pointer === '/name') form.setFields([{ name: 'name', errors: [e.detail] }]);
            },
          })
        }
      >
        <Form.Item name="name" label={t('kinds.name')} rules={[{ required: true, message: t('form.required') }, { pattern: /^[a-z][a-z0-9_]{0,59}$/, message: t('cmdb.nameHint') }]}>
          <Input disabled={Boolean(kind)} className="mono-input" placeholder="replicates_to" />
        </Form.Item>
        <div className="form-grid">
          <Form.Item name="forward_en" label={t('kinds.forwardEn')} extra={t('kinds.forwardHint')} rules={[named('forward_zh')]}>
            <Input maxLength={60} />
          </Form.Item>
          <Form.Item name="forward_zh" label={t('kinds.forwardZh')}>
            <Input maxLength={60} />
          </Form.Item>
          <Form.Item name="backward_en" label={t('kinds.backwardEn')} extra={t('kinds.backwardHint')} rules={[named('backward_zh')]}>
            <Input maxLength={60} />
          </Form.Item>
          <Form.Item name="backward_zh" label={t('kinds.backwardZh')}>
            <Input maxLength={60} />
          </Form.Item>
          <Form.Item name="cardinality" label={t('kinds.cardinality')}>
            <Select disabled={kind?.builtin} options={CARDINALITIES.map((c) => ({ value: c, label: t(`cardinality.${c}`) }))} />
          </Form.Item>
          <Form.Item name="impact" label={t('kinds.impact')}>
            <Select options={IMPACTS.map((i) => ({ value: i, label: t(`kindImpact.${i}`) }))} />
          </Form.Item>
          <Form.Item name="source" label={t('kinds.sourceDeleted')}>
            <Select options={ON_DELETE.map((o) => ({ value: o, label: t(`onDelete.${o}.text`) }))} />
          </Form.Item>
          <Form.Item name="destination" label={t('kinds.destinationDeleted')}>
            <Select options={ON_DELETE.map((o) => ({ value: o, label: t(`onDelete.${o}.text`) }))} />
          </Form.Item>
        </div>
        <Form.Item label={t('kinds.pairs')} extra={t('kinds.pairsHint')}>
          <Form.List name="pairs">
            {(fields, { add, remove }) => (
              <div className="stack tight">
                {fields.map((f) => (
                  <div key={f.key} className="row wrap">
                    <Form.Item name={[f.name, 'from']} noStyle rules={[{ required: true, message: t('form.required') }]}>
                      <Select showSearch optionFilterProp="label" disabled={kind?.builtin} aria-label={t('kinds.from')} style={{ width: 200 }} options={options} />
                    </Form.Item>
                    <span aria-hidden>→</span>
                    <Form.Item name={[f.name, 'to']} noStyle rules={[{ required: true, message: t('form.required') }]}>
                      <Select showSearch optionFilterProp="label" disabled={kind?.builtin} aria-label={t('kinds.to')} style={{ width: 200 }} options={options} />
                    </Form.Item>
                    <button type="button" className="icon-btn" disabled={kind?.builtin} aria-label={t('kinds.removePair')} onClick={() => remove(f.name)}>
                      <Icon of={Trash2} />
                    </button>
                  </div>
                ))}
                <div>
                  <Button size="small" disabled={kind?.builtin} icon={<Icon of={Plus} />} onClick={() => add({ from: '*', to: '*' })}>
                    {t('kinds.addPair')}
                  </Button>
                </div>
              </div>
            )}
          </Form.List>
        </Form.Item>
        <Form.Item
          name="attributes"
          label={t('kinds.attributes')}
          extra={t('kinds.attributesHint')}
          rules={[
            {
              validator: (_, v) => {
                try {
                  const parsed: unknown = v?.trim() ? JSON.parse(v) : [];
                  return Array.isArray(parsed) ? Promise.resolve() : Promise.reject(new Error(t('kinds.attributesHint')));
                } catch (e) {
                  return Promise.reject(new Error(t('form.notJson', { why: e instanceof Error ? e.message : '' })));
                }
              },
            },
          ]}
        >
          <Lazy label={t('kinds.attributes')} />
        </Form.Item>
        <ProblemNote error={save.error} />
      </Form>
    </Drawer>
  );
}

function Lazy({ label, ...rest }: { label: string; value?: string; onChange?: (v: string) => void }) {
  return (
    <Suspense fallback={<Input.TextArea rows={4} disabled />}>
      <CodeEditor language="json" label={label} minHeight={90} {...(rest as { value: string; onChange: (v: string) => void })} />
    </Suspense>
  );
}
