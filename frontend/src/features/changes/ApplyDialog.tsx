import { Form, Input, InputNumber, Modal, Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { changes, type ChangeRequest, type NewChange } from '../../api/changes';
import { api } from '../../api/endpoints';
import type { Model } from '../../api/types';
import { ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan, useSession } from '../../session';

interface Application {
  model: string;
  count: number;
  name: string;
  owner: string;
  system: string;
  workflow?: string;
}

/** The request that an application becomes: each record with its name and owner. */
export function applied(a: Application, model: Model, title: string): NewChange {
  const owned = model.attributes.some((x) => x.name === 'owner');
  return {
    title,
    reason: a.system,
    items: Array.from({ length: a.count }, (_, i) => ({
      act: 'create' as const,
      model: a.model,
      attributes: { [model.display]: a.count > 1 ? `${a.name}-${i + 1}` : a.name, ...(owned ? { owner: a.owner } : {}) },
    })),
    ...(a.workflow ? { workflow: a.workflow, input: {} } : {}),
  };
}

/** Applying for a resource: what, how many, whose, what for; then approval, the workflow that provides it, and the records with their owner. */
export function ApplyDialog({ onClose, onDone }: { onClose: () => void; onDone: (c: ChangeRequest) => void }) {
  const { t, tl } = useI18n();
  const session = useSession();
  const can = useCan();
  const [form] = Form.useForm<Application>();
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const workflows = useQuery({ queryKey: ['workflows', 'all'], queryFn: () => api.workflows.list({ limit: 200 }) });
  // What needs more than a name to be made is made by a form of its own.
  const offered = (models.data?.items ?? []).filter((m) => m.attributes.every((a) => !a.required || a.name === m.display || a.name === 'owner' || a.default !== undefined));
  const send = useAct<Application, ChangeRequest>({
    run: (a) => {
      const model = offered.find((m) => m.name === a.model);
      if (!model) return Promise.reject(new Error(a.model));
      return changes.make(applied(a, model, t('apply.title', { n: a.count, model: tl(model.title) || model.name, owner: a.owner })));
    },
    done: t('changes.sent'),
    stale: [['changes'], ['cmdb']],
    then: onDone,
  });
  return (
    <Modal open title={t('changes.apply')} okText={t('changes.request')} confirmLoading={send.isPending} onOk={() => form.submit()} onCancel={onClose} destroyOnHidden>
      {models.error ? <ProblemNote error={models.error} /> : null}
      <Form<Application> form={form} layout="vertical" initialValues={{ count: 1, owner: session.name }} onFinish={(a) => send.mutate(a)}>
        <Form.Item name="model" label={t('apply.model')} rules={[{ required: true, message: t('form.required') }]}>
          <Select showSearch optionFilterProp="label" loading={models.isPending} options={offered.map((m) => ({ value: m.name, label: tl(m.title) || m.name }))} />
        </Form.Item>
        <Form.Item name="count" label={t('apply.count')} rules={[{ required: true, message: t('form.required') }]}>
          <InputNumber min={1} max={100} precision={0} style={{ width: '100%' }} />
        </Form.Item>
        <Form.Item name="name" label={t('apply.name')} extra={t('apply.nameHint')} rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
          <Input maxLength={200} />
        </Form.Item>
        <Form.Item name="owner" label={t('apply.owner')} rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
          <Input maxLength={200} />
        </Form.Item>
        <Form.Item name="system" label={t('apply.system')} rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
          <Input.TextArea maxLength={4000} autoSize={{ minRows: 2, maxRows: 6 }} />
        </Form.Item>
        <Form.Item name="workflow" label={t('changes.workflow')} extra={
            <>
              {t('changes.workflowHint')} {can('workflow.write') && <Link to="/workflows/new" search={{ template: 'provide-resource' } as never}>{t('apply.template')}</Link>}
            </>
          }
        >
          <Select allowClear showSearch optionFilterProp="label" options={(workflows.data?.items ?? []).map((w) => ({ value: w.name, label: w.name }))} />
        </Form.Item>
      </Form>
    </Modal>
  );
}
