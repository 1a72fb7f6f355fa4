import { Form, Modal, Select, Tooltip } from 'antd';
import { api } from '../../api/endpoints';
import type { AssociationKind, Instance, Json, Model } from '../../api/types';
import { ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { AttributeInput, fromInput, ReferenceInput, toInput } from './InstanceForm';
import { plain } from './values';

interface Draft {
  way: string;
  model: string;
  target: string;
  attributes?: Record<string, unknown>;
}

const is = (wanted: string, model: string) => wanted === '*' || wanted === model;

/** Models that a kind may link a model with; null is any. */
export function partners(kind: AssociationKind, model: string, forward: boolean): Set<string> | null {
  if (!kind.pairs?.length) return null;
  const fitting = kind.pairs.filter((p) => is(forward ? p.from : p.to, model)).map((p) => (forward ? p.to : p.from));
  return fitting.includes('*') ? null : new Set(fitting);
}

/** Links a record with another, in either direction, by the kinds that allow it. */
export function LinkDialog({ model, instance, models, kinds, onClose }: { model: Model; instance: Instance; models: Model[]; kinds: AssociationKind[]; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [form] = Form.useForm<Draft>();
  const target = Form.useWatch('model', form);
  const ways = kinds.flatMap((kind) =>
    [true, false].flatMap((forward) => {
      const with_ = partners(kind, model.name, forward);
      return with_ && with_.size === 0 ? [] : [{ key: `${kind.name}/${forward ? 'forward' : 'backward'}`, kind, forward, with: with_ }];
    }),
  );
  const chosen = Form.useWatch('way', form);
  const way = ways.find((w) => w.key === chosen);
  const link = useAct<Draft>({
    run: (v) => {
      const attributes: Record<string, Json> = {};
      for (const a of way?.kind.attributes ?? []) {
        const value = fromInput(a, v.attributes?.[a.name]);
        if (value !== null) attributes[a.name] = value;
      }
      const here = { model: model.name, id: instance.id };
      const there = { model: v.model, id: v.target };
      return api.cmdb.associate({ kind: way?.kind.name ?? '', from: way?.forward ? here : there, to: way?.forward ? there : here, attributes });
    },
    done: t('cmdb.linked'),
    stale: [['cmdb']],
    quiet: true,
    then: onClose,
  });
  return (
    <Modal open onCancel={onClose} title={t('cmdb.link')} okText={t('cmdb.link')} onOk={() => form.submit()} confirmLoading={link.isPending}>
      <Form<Draft> form={form} layout="vertical" onFinish={(v) => link.mutate(v)}>
        <Form.Item name="way" label={t('cmdb.linkKind')} rules={[{ required: true, message: t('form.required') }]}>
          <Select
            showSearch
            optionFilterProp="label"
            options={ways.map((w) => ({ value: w.key, label: tl(w.forward ? w.kind.forward : w.kind.backward) || w.kind.name }))}
            onChange={() => form.resetFields(['model', 'target', 'attributes'])}
          />
        </Form.Item>
        <Form.Item name="model" label={t('cmdb.model')} rules={[{ required: true, message: t('form.required') }]}>
          <Select
            showSearch
            optionFilterProp="label"
            disabled={!way}
            options={models.filter((m) => !way?.with || way.with.has(m.name)).map((m) => ({ value: m.name, label: tl(m.title) || m.name }))}
            onChange={() => form.setFieldValue('target', undefined)}
          />
        </Form.Item>
        {target && (
          <Form.Item name="target" label={t('cmdb.instance')} rules={[{ required: true, message: t('form.required') }]}>
            <ReferenceInput model={target} />
          </Form.Item>
        )}
        {way?.kind.attributes?.map((a) => (
          <Form.Item
            key={`${way.key}/${a.name}`}
            name={['attributes', a.name]}
            label={(tl(a.title) || a.name) + (a.unit ? ` (${a.unit})` : '')}
            initialValue={toInput(a, a.default)}
            valuePropName={a.kind === 'boolean' ? 'checked' : 'value'}
            rules={[{ required: a.required && a.kind !== 'boolean', message: t('form.required') }]}
          >
            <AttributeInput attribute={a} />
          </Form.Item>
        ))}
        <ProblemNote error={link.error} />
      </Form>
    </Modal>
  );
}

/** What is known of a link, in a few words. */
export function LinkFacts({ kind, attributes }: { kind?: AssociationKind; attributes?: Record<string, Json> }) {
  const { tl } = useI18n();
  const known = Object.entries(attributes ?? {});
  if (known.length === 0) return null;
  const text = known.map(([name, value]) => `${tl(kind?.attributes?.find((a) => a.name === name)?.title) || name}: ${plain(value)}`).join(', ');
  return (
    <Tooltip title={text}>
      <span className="faint clip" style={{ maxWidth: 160 }}>
        {text}
      </span>
    </Tooltip>
  );
}
