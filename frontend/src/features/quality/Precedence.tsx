import { App, Button, Form, Modal, Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { ListOrdered, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import { quality, type PrecedenceRule } from '../../api/quality';
import { Chip, Empty, Icon, Note, PageHead, ProblemNote } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { SourceTabs } from './parts';

export default function Precedence() {
  const { t } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const [adding, setAdding] = useState(false);
  const may = can('cmdb.model');
  const remove = useAct<PrecedenceRule>({ run: (r) => quality.putPrecedence({ ...r, ranks: [] }), done: t('cmdb.deleted'), stale: [['precedence'], ['cmdb']] });
  const any = (v: string) => (v === '*' ? <span className="dim">{t('precedence.any')}</span> : <span className="mono">{v}</span>);
  const columns: ListColumn<PrecedenceRule>[] = [
    { key: 'model', title: t('cmdb.model'), text: (r) => r.model, render: (r) => any(r.model) },
    { key: 'attribute', title: t('cmdb.attribute'), text: (r) => r.attribute, render: (r) => any(r.attribute) },
    {
      key: 'ranks',
      title: t('precedence.ranks'),
      text: (r) => r.ranks.join(' > '),
      render: (r) => (
        <span className="row wrap">
          {r.ranks.map((rank, i) => (
            <Chip key={`${i}-${rank}`}>
              {i + 1}. {rank}
            </Chip>
          ))}
        </span>
      ),
    },
    {
      key: 'act',
      title: '',
      render: (r) =>
        may && (
          <button
            type="button"
            className="icon-btn"
            aria-label={t('precedence.delete', { model: r.model, attribute: r.attribute })}
            title={t('precedence.delete', { model: r.model, attribute: r.attribute })}
            onClick={() => modal.confirm({ title: t('precedence.delete', { model: r.model, attribute: r.attribute }), onOk: () => remove.mutateAsync(r).catch(() => {}) })}
          >
            <Icon of={Trash2} />
          </button>
        ),
    },
  ];
  return (
    <div className="page">
      <PageHead
        title={t('precedence.title')}
        crumbs={[{ label: t('sources.title'), to: '/sources' }]}
        actions={
          may && (
            <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setAdding(true)}>
              {t('precedence.new')}
            </Button>
          )
        }
      />
      <SourceTabs />
      <Note tone="info">{t('precedence.default')}</Note>
      <ResourceList<PrecedenceRule>
        id="precedence"
        label={t('precedence.title')}
        queryKey={['precedence', 'list']}
        load={quality.precedence}
        columns={columns}
        rowKey={(r) => `${r.model}/${r.attribute}`}
        empty={<Empty icon={ListOrdered} title={t('precedence.empty')} />}
      />
      {adding && <RuleDialog onClose={() => setAdding(false)} />}
    </div>
  );
}

function RuleDialog({ onClose }: { onClose: () => void }) {
  const { t, tl } = useI18n();
  const [form] = Form.useForm<PrecedenceRule>();
  const model = Form.useWatch('model', form);
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const sources = useQuery({ queryKey: ['sources', 'list', 'names'], queryFn: quality.sources });
  const save = useAct<PrecedenceRule>({ run: quality.putPrecedence, done: t('cmdb.saved'), stale: [['precedence'], ['cmdb']], quiet: true, then: onClose });
  const any = { value: '*', label: t('precedence.any') };
  const attributes = models.data?.items.find((m) => m.name === model)?.attributes ?? [];
  const names = [...new Set(['manual|import', 'plugin:*', '*', ...(sources.data?.items.map((s) => s.name) ?? [])])];
  return (
    <Modal open onCancel={onClose} title={t('precedence.new')} okText={t('action.save')} onOk={() => form.submit()} confirmLoading={save.isPending}>
      <Form form={form} layout="vertical" initialValues={{ model: '*', attribute: '*', ranks: [] }} onFinish={(d) => save.mutate(d)}>
        <Form.Item name="model" label={t('cmdb.model')} rules={[{ required: true }]}>
          <Select showSearch optionFilterProp="label" options={[any, ...(models.data?.items ?? []).map((m) => ({ value: m.name, label: tl(m.title) || m.name }))]} onChange={() => form.setFieldValue('attribute', '*')} />
        </Form.Item>
        <Form.Item name="attribute" label={t('cmdb.attribute')} rules={[{ required: true }]}>
          <Select showSearch optionFilterProp="label" options={[any, ...attributes.map((a) => ({ value: a.name, label: tl(a.title) || a.name }))]} />
        </Form.Item>
        <Form.Item name="ranks" label={t('precedence.ranks')} extra={t('precedence.ranksHint')} rules={[{ required: true, message: t('form.required') }]}>
          <Select mode="tags" options={names.map((n) => ({ value: n, label: n }))} />
        </Form.Item>
        {save.error ? <ProblemNote error={save.error} /> : null}
      </Form>
    </Modal>
  );
}
