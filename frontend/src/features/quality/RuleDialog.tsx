import { App, Button, Checkbox, Form, Input, InputNumber, Modal, Select, Switch } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { api } from '../../api/endpoints';
import { health, type Check, type HealthRule, type StoredRule } from '../../api/quality';
import type { Json } from '../../api/types';
import { ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';

const KINDS = ['island', 'integrity', 'completeness', 'standard', 'stale', 'duplicate', 'conflict'] as const;
type Kind = (typeof KINDS)[number];
const WAYS = ['pattern', 'one_of', 'refers_to', 'cel'] as const;
type Way = (typeof WAYS)[number];

interface Draft {
  id: string;
  title: string;
  models: string[];
  kind: Kind;
  weight: number;
  owner?: string;
  enabled: boolean;
  needs: string[];
  in_use?: string;
  association?: string;
  backward: boolean;
  with?: string;
  attributes: string[];
  attribute?: string;
  way: Way;
  pattern?: string;
  one_of: string[];
  ref_model?: string;
  ref_attribute?: string;
  cel?: string;
  days?: number | null;
}

/** What a form says, as the host has it. */
export function toCheck(d: Draft, before?: Check): Check {
  switch (d.kind) {
    case 'island':
      return { kind: 'island', associations: d.needs.includes('associations'), owner: d.needs.includes('owner'), in_use: d.in_use?.trim() || null };
    case 'integrity':
      return { kind: 'integrity', association: d.association ?? '', backward: d.backward, with: d.with || null };
    case 'completeness': {
      // Weights that were set stay; what is added counts one.
      const had = before?.kind === 'completeness' && typeof before.attributes === 'object' && before.attributes !== null ? (before.attributes as Record<string, Json>) : {};
      return { kind: 'completeness', attributes: Object.fromEntries(d.attributes.map((a) => [a, had[a] ?? 1])) };
    }
    case 'standard':
      return {
        kind: 'standard',
        attribute: d.attribute ?? '',
        pattern: d.way === 'pattern' ? (d.pattern ?? '') : null,
        one_of: d.way === 'one_of' ? d.one_of : [],
        refers_to: d.way === 'refers_to' ? [d.ref_model ?? '', d.ref_attribute ?? ''] : null,
        cel: d.way === 'cel' ? (d.cel ?? '') : null,
      };
    case 'stale':
      return { kind: 'stale', days: d.days ?? null };
    case 'duplicate':
      return { kind: 'duplicate', attributes: d.attributes };
    case 'conflict':
      return { kind: 'conflict' };
  }
}

function texts(v: Json | undefined): string[] {
  return Array.isArray(v) ? v.map(String) : v && typeof v === 'object' ? Object.keys(v) : [];
}

function text(v: Json | undefined): string | undefined {
  return typeof v === 'string' ? v : undefined;
}

export function RuleDialog({ rule, onClose }: { rule?: HealthRule & Partial<StoredRule>; onClose: () => void }) {
  const { t, tl } = useI18n();
  const { modal } = App.useApp();
  const [form] = Form.useForm<Draft>();
  const kind = Form.useWatch('kind', form) ?? (rule?.check.kind as Kind | undefined) ?? 'standard';
  const way = Form.useWatch('way', form) ?? 'pattern';
  const chosen = Form.useWatch('models', form) ?? rule?.models ?? [];
  const refModel = Form.useWatch('ref_model', form);
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const kinds = useQuery({ queryKey: ['cmdb', 'kinds'], queryFn: api.cmdb.kinds, staleTime: Infinity });
  const save = useAct<Draft>({
    run: (d) =>
      health.putRule({
        id: rule?.id ?? d.id.trim(),
        // The other languages of a title that came with Plenum stay until it is changed.
        title: rule && d.title === (tl(rule.title) || rule.id) ? (rule.title ?? d.title) : d.title.trim(),
        models: d.models,
        check: toCheck(d, rule?.check),
        weight: d.weight,
        owner: d.owner?.trim() || null,
        enabled: d.enabled,
      }),
    done: t('cmdb.saved'),
    stale: [['health']],
    quiet: true,
    then: onClose,
  });
  const remove = useAct({ run: () => health.deleteRule(rule?.id ?? ''), done: t('cmdb.deleted'), stale: [['health']], then: onClose });
  const c = rule?.check;
  const initial: Draft = {
    id: rule?.id ?? '',
    title: rule ? tl(rule.title) || rule.id : '',
    models: rule?.models ?? [],
    kind: (c?.kind as Kind | undefined) ?? 'standard',
    weight: rule?.weight ?? 1,
    owner: rule?.owner ?? undefined,
    enabled: rule?.enabled ?? true,
    needs: ['associations', 'owner'].filter((k) => c?.[k] === true),
    in_use: text(c?.in_use),
    association: text(c?.association),
    backward: c?.backward === true,
    with: text(c?.with),
    attributes: texts(c?.attributes),
    attribute: text(c?.attribute),
    way: WAYS.find((w) => (w === 'one_of' ? texts(c?.one_of).length > 0 : c?.[w] != null)) ?? 'pattern',
    pattern: text(c?.pattern),
    one_of: texts(c?.one_of),
    ref_model: texts(c?.refers_to)[0],
    ref_attribute: texts(c?.refers_to)[1],
    cel: text(c?.cel),
    days: typeof c?.days === 'number' ? c.days : null,
  };
  const all = models.data?.items ?? [];
  const modelOptions = all.map((m) => ({ value: m.name, label: tl(m.title) || m.name }));
  const attributesOf = (names: string[]) => {
    const seen = new Map<string, string>();
    for (const m of all.filter((x) => names.length === 0 || names.includes(x.name))) for (const a of m.attributes) seen.set(a.name, tl(a.title) || a.name);
    return [...seen].map(([value, label]) => ({ value, label: `${label} · ${value}` }));
  };
  const required = [{ required: true, message: t('form.required') }];
  const attributes = attributesOf(chosen);
  return (
    <Modal
      open
      onCancel={onClose}
      title={rule ? t('health.editRule', { name: initial.title }) : t('health.newRule')}
      onOk={() => form.submit()}
      okText={t('action.save')}
      confirmLoading={save.isPending}
      footer={(_, { OkBtn, CancelBtn }) => (
        <>
          {rule && rule.builtin === false && (
            <Button danger style={{ float: 'left' }} onClick={() => modal.confirm({ title: t('sources.delete', { name: initial.title }), onOk: () => remove.mutateAsync().catch(() => {}) })}>
              {t('action.delete')}
            </Button>
          )}
          <CancelBtn />
          <OkBtn />
        </>
      )}
    >
      <Form form={form} layout="vertical" initialValues={initial} onFinish={(d) => save.mutate({ ...initial, ...d })}>
        {!rule && (
          <Form.Item name="id" label={t('health.id')} extra={t('health.idHint')} rules={[{ required: true, pattern: /^[a-z0-9-]{1,60}$/, message: t('health.idHint') }]}>
            <Input autoComplete="off" />
          </Form.Item>
        )}
        <Form.Item name="title" label={t('sources.name')} rules={required}>
          <Input autoComplete="off" />
        </Form.Item>
        <Form.Item name="models" label={t('cmdb.model')} extra={t('health.modelsHint')}>
          <Select mode="multiple" optionFilterProp="label" options={modelOptions} />
        </Form.Item>
        <Form.Item name="kind" label={t('health.kind')}>
          <Select options={KINDS.map((k) => ({ value: k, label: t(`health.kind.${k}`) }))} />
        </Form.Item>
        {kind === 'island' && (
          <>
            <Form.Item name="needs" label={t('health.needs')}>
              <Checkbox.Group options={[{ value: 'associations', label: t('health.needs.associations') }, { value: 'owner', label: t('health.needs.owner') }]} />
            </Form.Item>
            <Form.Item name="in_use" label={t('health.inUse')}>
              <Input autoComplete="off" className="mono" />
            </Form.Item>
          </>
        )}
        {kind === 'integrity' && (
          <>
            <Form.Item name="association" label={t('cmdb.linkKind')} rules={required}>
              <Select options={(kinds.data?.items ?? []).map((k) => ({ value: k.name, label: tl(k.forward) }))} />
            </Form.Item>
            <Form.Item name="backward" label={t('health.backward')} valuePropName="checked">
              <Switch />
            </Form.Item>
            <Form.Item name="with" label={t('health.with')}>
              <Select allowClear showSearch optionFilterProp="label" options={modelOptions} />
            </Form.Item>
          </>
        )}
        {(kind === 'completeness' || kind === 'duplicate') && (
          <Form.Item name="attributes" label={t('cmdb.attribute')} extra={kind === 'completeness' ? t('health.completenessHint') : t('health.duplicateHint')} rules={kind === 'duplicate' ? required : []}>
            <Select mode="multiple" optionFilterProp="label" options={attributes} />
          </Form.Item>
        )}
        {kind === 'standard' && (
          <>
            <Form.Item name="attribute" label={t('cmdb.attribute')} rules={required}>
              <Select showSearch optionFilterProp="label" options={attributes} />
            </Form.Item>
            <Form.Item name="way" label={t('health.way')}>
              <Select options={WAYS.map((w) => ({ value: w, label: t(`health.way.${w}`) }))} />
            </Form.Item>
            {(way === 'pattern' || way === 'cel') && (
              <Form.Item name={way} label={t(`health.way.${way}`)} rules={required}>
                <Input autoComplete="off" className="mono" />
              </Form.Item>
            )}
            {way === 'one_of' && (
              <Form.Item name="one_of" label={t('health.way.one_of')} rules={required}>
                <Select mode="tags" open={false} />
              </Form.Item>
            )}
            {way === 'refers_to' && (
              <>
                <Form.Item name="ref_model" label={t('health.refModel')} rules={required}>
                  <Select showSearch optionFilterProp="label" options={modelOptions} />
                </Form.Item>
                <Form.Item name="ref_attribute" label={t('health.refAttribute')} rules={required}>
                  <Select showSearch optionFilterProp="label" options={refModel ? attributesOf([refModel]) : []} />
                </Form.Item>
              </>
            )}
          </>
        )}
        {kind === 'stale' && (
          <Form.Item name="days" label={t('health.days')} extra={t('health.daysHint')}>
            <InputNumber min={1} precision={0} />
          </Form.Item>
        )}
        <Form.Item name="weight" label={t('health.weight')}>
          <InputNumber min={1} max={10} precision={0} />
        </Form.Item>
        <Form.Item name="owner" label={t('health.owner')} extra={t('health.ownerHint')}>
          <Input autoComplete="off" />
        </Form.Item>
        <Form.Item name="enabled" label={t('health.enabled')} valuePropName="checked">
          <Switch />
        </Form.Item>
        {save.error ? <ProblemNote error={save.error} /> : null}
      </Form>
    </Modal>
  );
}
