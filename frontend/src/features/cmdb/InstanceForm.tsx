import { Button, DatePicker, Form, Input, InputNumber, Select, Switch } from 'antd';
import { useQueries, useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useState } from 'react';
import dayjs from 'dayjs';
import { Problem } from '../../api/client';
import { api } from '../../api/endpoints';
import type { Attribute, Instance, Json, Model } from '../../api/types';
import { ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { FORMS, isText, wrong } from './rules';
import { isMissing } from './values';

const CodeEditor = lazy(() => import('../../components/CodeEditor'));

type Values = Record<string, unknown>;

/** An attribute's value as its input holds it. */
export function toInput(a: Attribute, v: Json | undefined): unknown {
  if (isMissing(v)) return undefined;
  if (a.kind === 'json' || a.kind === 'table') return JSON.stringify(v, null, 2);
  if (a.kind === 'date') return dayjs(String(v));
  if (a.kind === 'timestamp') return dayjs(typeof v === 'number' ? v : String(v));
  return v;
}

/** What an input holds as the attribute's value; null clears it. Throws SyntaxError for text that is no JSON. */
export function fromInput(a: Attribute, v: unknown): Json {
  if (v === undefined || v === null || v === '') return null;
  if (a.kind === 'json' || a.kind === 'table') return JSON.parse(String(v)) as Json;
  if (a.kind === 'timestamp') return (v as dayjs.Dayjs).toISOString();
  if (a.kind === 'date') return (v as dayjs.Dayjs).format('YYYY-MM-DD');
  if ((a.kind === 'multi_enum' || a.kind === 'references' || a.kind === 'users') && Array.isArray(v) && v.length === 0) return null;
  if (FORMS[a.kind]) return String(v).trim() || null;
  return v as Json;
}

// What only an agent can know or point to.
export const AGENTS_OWN = new Set(['status', 'node_id', 'host_id', 'agent_version', 'identity']);

/**
 * Whether a person may write it. Discovered attributes are the agent's once there is a record; a machine without an agent
 * is entered by hand, with all that can be typed.
 */
export function writable(a: Attribute, isNew: boolean): boolean {
  // A secret is set by itself, once its record is there.
  if (a.kind === 'secret') return false;
  if (a.editable !== false) return true;
  return isNew && !AGENTS_OWN.has(a.name) && !['table', 'json', 'timestamp'].includes(a.kind);
}

/** `send` does something else with what is filled in than to write it. */
export function InstanceForm({ model, instance, onDone, send }: { model: Model; instance?: Instance; onDone: (i: Instance) => void; send?: (attributes: Record<string, Json>, why: string) => Promise<Instance> }) {
  const { t, tl, maybe } = useI18n();
  const [form] = Form.useForm<Values>();
  const [problem, setProblem] = useState<unknown>(null);
  const save = useAct<Values, Instance>({
    run: (values) => {
      const attributes: Record<string, Json> = {};
      for (const a of model.attributes) {
        if (!writable(a, !instance) || !(a.name in values)) continue;
        const next = fromInput(a, values[a.name]);
        if (instance && JSON.stringify(next) === JSON.stringify(instance.attributes[a.name] ?? null)) continue;
        // Of a new one null says that the default is not wanted either.
        if (!instance && next === null && isMissing(a.default)) continue;
        attributes[a.name] = next;
      }
      const why = typeof values.__why === 'string' ? values.__why.trim() : '';
      if (send) return send(attributes, why);
      return instance ? api.cmdb.update(model.name, instance.id, instance.version, attributes, why || undefined) : api.cmdb.create(model.name, attributes);
    },
    done: send ? t('changes.sent') : instance ? t('cmdb.saved') : t('cmdb.created'),
    stale: [['cmdb'], ['changes']],
    quiet: true,
    then: (i) => onDone(i),
  });
  const submit = (values: Values) => {
    setProblem(null);
    save.mutate(values, {
      onError: (e) => {
        setProblem(e);
        if (!(e instanceof Problem)) return;
        // The host names the offending attribute: show it there.
        const fields = [...e.errors, ...(e.pointer ? [{ pointer: e.pointer, detail: e.detail }] : [])]
          .map(({ pointer, detail }) => ({ name: pointer.split('/').pop() ?? '', errors: [detail] }))
          .filter((f) => model.attributes.some((a) => a.name === f.name));
        if (fields.length) form.setFields(fields);
      },
    });
  };
  const editable = model.attributes.filter((a) => writable(a, !instance));
  const sections = new Map<string, Attribute[]>();
  for (const a of editable) sections.set(a.section ?? '', [...(sections.get(a.section ?? '') ?? []), a]);
  const initial: Values = {};
  for (const a of editable) initial[a.name] = toInput(a, instance ? instance.attributes[a.name] : a.default);
  const found = model.attributes.length - editable.length;
  return (
    <Form form={form} layout="vertical" initialValues={initial} onFinish={submit} scrollToFirstError>
      {[...sections].map(([section, attributes]) => (
        <fieldset key={section} style={{ marginBottom: 14 }}>
          <legend>{maybe(`section.${section}`, section || t('section.general'))}</legend>
          <div className="form-grid">
            {attributes.map((a) => (
              <Form.Item
                key={a.name}
                name={a.name}
                label={tl(a.title) + (a.unit ? ` (${a.unit})` : '')}
                valuePropName={a.kind === 'boolean' ? 'checked' : 'value'}
                className={['long_text', 'json', 'table', 'list'].includes(a.kind) ? 'wide' : undefined}
                extra={a.pattern && isText(a.kind) ? t('rule.patternHint', { pattern: a.pattern }) : undefined}
                rules={[
                  {
                    validator: (_: unknown, v: unknown) => {
                      const w = wrong(a, v);
                      return w ? Promise.reject(new Error(t(`form.${w.what}`, { n: w.n }))) : Promise.resolve();
                    },
                  },
                  { required: a.required && a.kind !== 'boolean', message: t('form.required') },
                  ...(a.kind === 'json' || a.kind === 'table'
                    ? [
                        {
                          validator: (_: unknown, v: unknown) => {
                            try {
                              fromInput(a, v);
                              return Promise.resolve();
                            } catch (e) {
                              return Promise.reject(new Error(t('form.notJson', { why: e instanceof Error ? e.message : '' })));
                            }
                          },
                        },
                      ]
                    : []),
                ]}
              >
                <AttributeInput attribute={a} />
              </Form.Item>
            ))}
          </div>
        </fieldset>
      ))}
      {instance && found > 0 && <p className="dim" style={{ marginBottom: 12 }}>{t('cmdb.foundByAgent', { n: found })}</p>}
      {instance && (
        <Form.Item name="__why" label={t('cmdb.why')}>
          <Input maxLength={500} placeholder={t('cmdb.whyHint')} />
        </Form.Item>
      )}
      {problem ? (
        <div style={{ marginBottom: 12 }}>
          <ProblemNote error={problem} />
        </div>
      ) : null}
      <Button type="primary" htmlType="submit" loading={save.isPending}>
        {t('action.save')}
      </Button>
    </Form>
  );
}

/** What a value of an attribute is entered with; it holds what `toInput` makes. */
export function AttributeInput({ attribute: a, ...rest }: { attribute: Attribute; value?: unknown; onChange?: (v: never) => void; id?: string; checked?: boolean }) {
  const { tl } = useI18n();
  const props = rest as Record<string, never>;
  switch (a.kind) {
    case 'long_text':
      return <Input.TextArea autoSize={{ minRows: 2, maxRows: 10 }} {...props} />;
    case 'integer':
      return <InputNumber precision={0} style={{ width: '100%' }} {...props} />;
    case 'decimal':
      return <InputNumber style={{ width: '100%' }} {...props} />;
    case 'boolean':
      return <Switch {...props} />;
    case 'timestamp':
      return <DatePicker showTime style={{ width: '100%' }} {...props} />;
    case 'date':
      return <DatePicker style={{ width: '100%' }} {...props} />;
    case 'ip':
    case 'cidr':
    case 'mac':
    case 'url':
      return <Input className="mono-input" placeholder={FORMS[a.kind]} spellCheck={false} autoCapitalize="off" autoComplete="off" {...props} />;
    case 'multi_enum':
      return <Select mode="multiple" allowClear optionFilterProp="label" options={(a.options ?? []).map((o) => ({ value: o, label: o }))} {...props} />;
    case 'enum':
      return <Select allowClear={!a.required} showSearch optionFilterProp="label" options={(a.options ?? []).map((o) => ({ value: o, label: o }))} {...props} />;
    case 'reference':
      return <ReferenceInput model={a.target ?? ''} {...(props as object)} />;
    case 'references':
      return <ReferencesInput model={a.target ?? ''} {...(props as object)} />;
    case 'users':
    case 'list':
      return <Select mode="tags" tokenSeparators={[',']} open={false} suffixIcon={null} {...props} />;
    case 'json':
    case 'table':
      return (
        <Suspense fallback={<Input.TextArea rows={4} disabled />}>
          <CodeEditor language="json" label={tl(a.title)} minHeight={90} {...props} />
        </Suspense>
      );
    default:
      return <Input {...props} />;
  }
}

/** Chooses instances of a model by searching for them. */
export function ReferencesInput({ model, value, onChange, id }: { model: string; value?: string[]; onChange?: (ids: string[]) => void; id?: string }) {
  const [text, setText] = useState('');
  const found = useQuery({ queryKey: ['cmdb', 'instances', model, 'pick', text], queryFn: () => api.cmdb.instances(model, { search: text, limit: 25 }), placeholderData: (o) => o });
  const current = useQueries({ queries: (value ?? []).map((v) => ({ queryKey: ['cmdb', 'instance', model, v], queryFn: () => api.cmdb.instance(model, v), retry: false })) });
  const known = new Map<string, string>();
  for (const i of [...(found.data?.items ?? []), ...current.flatMap((q) => q.data ?? [])]) known.set(i.id, i.label);
  return (
    <Select
      id={id}
      mode="multiple"
      showSearch
      allowClear
      filterOption={false}
      onSearch={setText}
      loading={found.isFetching}
      value={value}
      onChange={onChange}
      options={[...known].map(([v, label]) => ({ value: v, label }))}
    />
  );
}

/** Chooses one instance of a model by searching for it. */
export function ReferenceInput({ model, value, onChange, id }: { model: string; value?: string; onChange?: (id: string | undefined) => void; id?: string }) {
  const [text, setText] = useState('');
  const found = useQuery({ queryKey: ['cmdb', 'instances', model, 'pick', text], queryFn: () => api.cmdb.instances(model, { search: text, limit: 25 }), placeholderData: (o) => o });
  const current = useQuery({ queryKey: ['cmdb', 'instance', model, value], queryFn: () => api.cmdb.instance(model, value ?? ''), enabled: Boolean(value), retry: false });
  const options = (found.data?.items ?? []).map((i) => ({ value: i.id, label: i.label }));
  if (current.data && !options.some((o) => o.value === current.data.id)) options.unshift({ value: current.data.id, label: current.data.label });
  return <Select id={id} showSearch allowClear filterOption={false} onSearch={setText} loading={found.isFetching} value={value} onChange={onChange} options={options} />;
}
