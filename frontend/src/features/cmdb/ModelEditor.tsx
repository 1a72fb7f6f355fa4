import { App, Button, Checkbox, Form, Input, InputNumber, Modal, Select, Space, Tag } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { ArrowDown, ArrowUp, Pencil, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import { remodel, type ModelChange } from '../../api/remodel';
import type { Attribute, AttributeKind, Json, Model } from '../../api/types';
import { Chip, Empty, Icon, Loading, Note, PageHead, Panel, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n, type Text } from '../../i18n';
import { AttributeInput, fromInput, toInput } from './InstanceForm';
import { KeysEditor } from './KeysEditor';
import { modelIconNames } from './ModelIcon';
import { ChangeDialog, harmless, RemovedPanel } from './Remodel';
import { isNumber, isText, KINDS, single, wrong } from './rules';

/** What can name an instance. */
const NAMING = new Set<AttributeKind>(['text', 'ip', 'cidr', 'mac', 'url']);
const GROUPS = ['resources', 'services', 'cloud', 'business', 'organisation', 'other'];

/** What an enum's values may be shown in, as the host knows them. */
const COLOURS = ['grey', 'blue', 'cyan', 'green', 'lime', 'gold', 'orange', 'red', 'magenta', 'purple'];

function validJson(text: string | undefined, wrong: (why: string) => string): Promise<void> {
  if (!text?.trim()) return Promise.resolve();
  try {
    JSON.parse(text);
    return Promise.resolve();
  } catch (e) {
    return Promise.reject(new Error(wrong(e instanceof Error ? e.message : '')));
  }
}

interface Draft {
  name: string;
  title_en: string;
  title_zh: string;
  group: string;
  icon?: string;
  display: string;
  template?: string;
}

function pair(t: Text): { en: string; zh: string } {
  if (!t) return { en: '', zh: '' };
  return typeof t === 'string' ? { en: t, zh: t } : { en: t.en ?? '', zh: t.zh ?? '' };
}

function joined(en: string, zh: string): { en: string; zh: string } {
  return { en: en || zh, zh: zh || en };
}

export default function ModelEditor() {
  const { model: name } = useParams({ strict: false }) as { model?: string };
  const model = useQuery({ queryKey: ['cmdb', 'model', name], queryFn: () => api.cmdb.model(name ?? ''), enabled: Boolean(name) });
  if (name && model.error) return <ProblemNote error={model.error} />;
  if (name && !model.data) return <Loading />;
  return <Editor key={model.data ? `${model.data.name}/${model.data.version}` : 'new'} model={model.data} />;
}

function Editor({ model }: { model?: Model }) {
  const { t, tl, maybe } = useI18n();
  const navigate = useNavigate();
  const { modal, message } = App.useApp();
  const [form] = Form.useForm<Draft>();
  const [attributes, setAttributes] = useState<Attribute[]>(
    model?.attributes ?? [{ name: 'name', title: { en: 'Name', zh: '名称' }, kind: 'text', required: true, indexed: true, editable: true, section: 'identity' }],
  );
  // Keys over one attribute are shown with it; keys over several stay as they are.
  const [unique, setUnique] = useState<string[][]>(model ? (model.unique ?? []) : [['name']]);
  const [identification, setIdentification] = useState<string[][]>(model?.identification ?? []);
  const isUnique = (name: string) => unique.some((u) => u.length === 1 && u[0] === name);
  const [editing, setEditing] = useState<number | 'new' | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const removed = model?.attributes.filter((a) => !attributes.some((b) => b.name === a.name)) ?? [];
  const title = pair(model?.title);

  const bodyOf = (d: Draft): Partial<Model> => ({
    name: d.name,
    title: joined(d.title_en, d.title_zh),
    group: d.group,
    ...(d.icon ? { icon: d.icon } : {}),
    display: d.display,
    attributes,
    unique: unique.filter((u) => u.length > 0 && u.every((n) => attributes.some((a) => a.name === n))),
    identification: identification.filter((u) => u.length > 0 && u.every((n) => attributes.some((a) => a.name === n))),
    ...(d.template?.trim() ? { template: d.template.trim() } : {}),
  });
  // A change of a model that has records is tried first: what it would do is shown, unless it does nothing to them.
  const [trial, setTrial] = useState<{ draft: Draft; change: ModelChange } | null>(null);
  const leave = () => void navigate({ to: `/cmdb/${model?.name ?? ''}` });
  const propose = (d: Draft, dry_run: boolean, misfits: 'refuse' | 'mend') => remodel.propose({ ...bodyOf(d), name: model?.name ?? d.name }, model?.version ?? 1, { dry_run, misfits });
  const save = useAct<Draft, Model | ModelChange>({
    run: async (d) => {
      if (!model) return api.cmdb.createModel(bodyOf(d));
      const tried = await propose(d, true, 'refuse');
      return harmless(tried) ? propose(d, false, 'refuse') : tried;
    },
    stale: [['cmdb']],
    quiet: true,
    then: (m, draft) => {
      if (!('report' in m)) {
        void message.success(t('cmdb.modelCreated'));
        void navigate({ to: `/cmdb/${m.name}` });
      } else if (m.state === 'done') {
        void message.success(t('cmdb.saved'));
        leave();
      } else setTrial({ draft, change: m });
    },
  });
  const remove = useAct({
    run: () => api.cmdb.deleteModel(model?.name ?? ''),
    done: t('cmdb.deleted'),
    stale: [['cmdb']],
    then: () => void navigate({ to: '/cmdb' }),
  });
  const move = (i: number, by: number) => {
    const next = [...attributes];
    const [a] = next.splice(i, 1);
    if (a) next.splice(i + by, 0, a);
    setAttributes(next);
  };

  return (
    <div className="page">
      <PageHead
        title={model ? t('cmdb.modelTitle', { name: tl(model.title) }) : t('cmdb.newModel')}
        crumbs={[{ label: t('nav.cmdb'), to: '/cmdb' }, ...(model ? [{ label: tl(model.title), to: `/cmdb/${model.name}` }] : [])]}
        sub={model?.builtin ? t('cmdb.builtinHint') : undefined}
        actions={
          <>
            {model && !model.builtin && (
              <Button
                danger
                onClick={() =>
                  modal.confirm({
                    title: t('cmdb.deleteModel', { name: tl(model.title) }),
                    content: t('cmdb.deleteModelText', { n: model.count ?? 0 }),
                    okText: t('action.delete'),
                    okButtonProps: { danger: true },
                    onOk: () => remove.mutateAsync().catch(() => {}),
                  })
                }
              >
                {t('action.delete')}
              </Button>
            )}
            <Button type="primary" loading={save.isPending} onClick={() => form.submit()}>
              {t('action.save')}
            </Button>
          </>
        }
      />
      {problem ? <ProblemNote error={problem} /> : null}
      {removed.length > 0 && (
        <Note tone="warn" title={t('cmdb.removesAttributes')}>
          {removed.map((a) => tl(a.title) || a.name).join(', ')}. {t('cmdb.removesAttributesText')}
        </Note>
      )}
      <Panel title={t('cmdb.modelBasics')}>
        <Form<Draft>
          form={form}
          layout="vertical"
          initialValues={{ name: model?.name, title_en: title.en, title_zh: title.zh, group: model?.group ?? 'business', icon: model?.icon ?? undefined, display: model?.display ?? 'name', template: model?.template ?? '' }}
          onFinish={(d) => {
            setProblem(null);
            save.mutate(d, { onError: setProblem });
          }}
        >
          <div className="form-grid">
            <Form.Item name="name" label={t('cmdb.modelName')} extra={t('cmdb.nameHint')} rules={[{ required: true, message: t('form.required') }, { pattern: /^[a-z][a-z0-9_]{1,39}$/, message: t('cmdb.nameHint') }]}>
              <Input disabled={Boolean(model)} className="mono-input" />
            </Form.Item>
            <Form.Item name="title_en" label={t('cmdb.titleEn')} dependencies={['title_zh']} rules={[{ validator: (_, v) => (v || form.getFieldValue('title_zh') ? Promise.resolve() : Promise.reject(new Error(t('form.required')))) }]}>
              <Input />
            </Form.Item>
            <Form.Item name="title_zh" label={t('cmdb.titleZh')}>
              <Input />
            </Form.Item>
            <Form.Item name="group" label={t('cmdb.group')} rules={[{ required: true }]}>
              <Select options={[...new Set([...GROUPS, ...(model ? [model.group] : [])])].map((g) => ({ value: g, label: maybe(`group.${g}`, g) }))} />
            </Form.Item>
            <Form.Item name="icon" label={t('cmdb.icon')}>
              <Select allowClear options={[...new Set([...modelIconNames, ...(model?.icon ? [model.icon] : [])])].map((i) => ({ value: i, label: i }))} />
            </Form.Item>
            <Form.Item name="display" label={t('cmdb.display')} extra={t('cmdb.displayHint')} rules={[{ required: true }]}>
              <Select options={attributes.filter((a) => NAMING.has(a.kind)).map((a) => ({ value: a.name, label: tl(a.title) || a.name }))} />
            </Form.Item>
            <Form.Item name="template" label={t('model.template')} extra={t('model.templateHint')}>
              <Input className="mono-input" maxLength={200} />
            </Form.Item>
          </div>
        </Form>
      </Panel>
      <Panel
        title={t('cmdb.attributes')}
        flush
        actions={
          <Button size="small" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
            {t('cmdb.addAttribute')}
          </Button>
        }
      >
        {attributes.length === 0 && <Empty title={t('cmdb.noAttributes')} />}
        <div className="table-wrap">
          <table className="t stacked">
            <thead>
              <tr>
                <th scope="col">{t('cmdb.attribute')}</th>
                <th scope="col">{t('cmdb.attributeName')}</th>
                <th scope="col">{t('cmdb.kind')}</th>
                <th scope="col">{t('cmdb.section')}</th>
                <th scope="col">{t('cmdb.traits')}</th>
                <th scope="col">
                  <span className="vh">{t('action.edit')}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {attributes.map((a, i) => (
                <tr key={a.name}>
                  <td className="first" data-label={t('cmdb.attribute')}>{tl(a.title) || a.name}</td>
                  <td data-label={t('cmdb.attributeName')}>
                    <code>{a.name}</code>
                  </td>
                  <td data-label={t('cmdb.kind')}>
                    {maybe(`kind.${a.kind}`, a.kind)}
                    {a.unit ? ` (${a.unit})` : ''}
                  </td>
                  <td data-label={t('cmdb.section')}>{maybe(`section.${a.section}`, a.section ?? '')}</td>
                  <td data-label={t('cmdb.traits')}>
                    <span className="row wrap" style={{ gap: 4 }}>
                      {a.required && <Chip tone="accent">{t('trait.required')}</Chip>}
                      {isUnique(a.name) && <Chip tone="info">{t('trait.unique')}</Chip>}
                      {a.indexed && <Chip>{t('trait.indexed')}</Chip>}
                      {a.editable === false && <Chip>{t('trait.found')}</Chip>}
                    </span>
                  </td>
                  <td className="num" data-label="">
                    <Space size={0}>
                      <button type="button" className="icon-btn" aria-label={t('cmdb.moveUp', { name: a.name })} disabled={i === 0} onClick={() => move(i, -1)}>
                        <Icon of={ArrowUp} />
                      </button>
                      <button type="button" className="icon-btn" aria-label={t('cmdb.moveDown', { name: a.name })} disabled={i === attributes.length - 1} onClick={() => move(i, 1)}>
                        <Icon of={ArrowDown} />
                      </button>
                      <button type="button" className="icon-btn" aria-label={t('cmdb.editAttribute', { name: a.name })} onClick={() => setEditing(i)}>
                        <Icon of={Pencil} />
                      </button>
                      <button
                        type="button"
                        className="icon-btn"
                        aria-label={t('cmdb.removeAttribute', { name: a.name })}
                        disabled={(model?.builtin && a.editable === false) || a.name === (form.getFieldValue('display') ?? model?.display)}
                        onClick={() => setAttributes(attributes.filter((_, j) => j !== i))}
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
      <Panel title={t('model.keys')}>
        <KeysEditor
          title={t('model.unique')}
          hint={t('model.uniqueHint')}
          add={t('model.addKey')}
          keys={unique.filter((u) => u.length !== 1)}
          attributes={attributes}
          onChange={(keys) => setUnique([...unique.filter((u) => u.length === 1), ...keys])}
        />
        <KeysEditor title={t('model.identification')} hint={t('model.identificationHint')} add={t('model.addRule')} keys={identification} attributes={attributes} onChange={setIdentification} ordered />
      </Panel>
      {model && <RemovedPanel model={model} />}
      {trial && (
        <ChangeDialog
          first={trial.change}
          attributes={[...attributes, ...removed]}
          run={(misfits) => propose(trial.draft, false, misfits)}
          onClose={() => setTrial(null)}
          onDone={leave}
        />
      )}
      {editing !== null && (
        <AttributeDialog
          attribute={editing === 'new' ? undefined : attributes[editing]}
          unique={editing !== 'new' && isUnique(attributes[editing]?.name ?? '')}
          taken={attributes.filter((_, i) => i !== editing).map((a) => a.name)}
          onClose={() => setEditing(null)}
          onSave={(a, single) => {
            const others = unique.filter((u) => !(u.length === 1 && u[0] === a.name));
            setUnique(single ? [...others, [a.name]] : others);
            setAttributes(editing === 'new' ? [...attributes, a] : attributes.map((old, i) => (i === editing ? a : old)));
            setEditing(null);
          }}
        />
      )}
    </div>
  );
}

/** The rules of a draft, of those that its kind can have. Throws SyntaxError for a default that is no JSON. */
export function rulesOf(d: Pick<AttributeDraft, 'kind' | 'pattern' | 'min' | 'max' | 'default' | 'options'>, before?: Attribute): Pick<Attribute, 'pattern' | 'min' | 'max' | 'default'> {
  const measured = isText(d.kind) || isNumber(d.kind);
  // A table's is nothing that can be entered here: it stays.
  const value = d.kind === 'table' ? (before?.default ?? null) : fromInput({ name: '', title: '', kind: d.kind }, d.default);
  return {
    ...(isText(d.kind) && d.pattern ? { pattern: d.pattern } : {}),
    ...(measured && typeof d.min === 'number' ? { min: d.min } : {}),
    ...(measured && typeof d.max === 'number' ? { max: d.max } : {}),
    ...(value === null || (Array.isArray(value) && value.length === 0) ? {} : { default: value }),
  };
}

interface AttributeDraft {
  name: string;
  title_en: string;
  title_zh: string;
  kind: AttributeKind;
  unit?: string;
  section?: string;
  options?: string[];
  columns?: string[];
  required: boolean;
  indexed: boolean;
  unique: boolean;
  pattern?: string;
  min?: number | null;
  max?: number | null;
  default?: unknown;
  target?: string;
  importance?: number | null;
  sources?: string[];
  schema?: string;
  colours?: Record<string, string>;
}

function AttributeDialog({ attribute, unique, taken, onClose, onSave }: { attribute?: Attribute; unique: boolean; taken: string[]; onClose: () => void; onSave: (a: Attribute, unique: boolean) => void }) {
  const { t, tl, maybe } = useI18n();
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const [form] = Form.useForm<AttributeDraft>();
  const kind = Form.useWatch('kind', form) ?? attribute?.kind ?? 'text';
  const title = pair(attribute?.title);
  const options = Form.useWatch('options', form) ?? attribute?.options ?? [];
  const bounds = { min: Form.useWatch('min', form) ?? undefined, max: Form.useWatch('max', form) ?? undefined };
  const indexable = single(kind) && kind !== 'long_text';
  const hidden = kind === 'secret';
  const measured = isText(kind) || isNumber(kind);
  const probe: Attribute = { name: 'default', title: t('rule.default'), kind, options, ...bounds };
  return (
    <Modal open onCancel={onClose} onOk={() => form.submit()} title={attribute ? t('cmdb.editAttribute', { name: attribute.name }) : t('cmdb.addAttribute')} okText={t('action.ok')}>
      <Form<AttributeDraft>
        form={form}
        layout="vertical"
        initialValues={{
          name: attribute?.name,
          title_en: title.en,
          title_zh: title.zh,
          kind: attribute?.kind ?? 'text',
          unit: attribute?.unit ?? undefined,
          section: attribute?.section ?? 'identity',
          options: attribute?.options,
          columns: attribute?.columns?.map((c) => c.name),
          required: attribute?.required ?? false,
          indexed: attribute?.indexed ?? false,
          unique,
          pattern: attribute?.pattern,
          min: attribute?.min,
          max: attribute?.max,
          default: attribute ? toInput(attribute, attribute.default) : undefined,
          target: attribute?.target,
          importance: attribute?.importance,
          sources: attribute?.sources ?? [],
          schema: attribute?.schema ? JSON.stringify(attribute.schema, null, 2) : '',
          colours: attribute?.colours ?? {},
        }}
        onValuesChange={(changed) => {
          // What suited the kind before does not suit another.
          if ('kind' in changed) form.setFieldsValue({ pattern: undefined, min: undefined, max: undefined, default: undefined });
        }}
        onFinish={(d) =>
          onSave(
            {
              name: d.name,
              title: joined(d.title_en, d.title_zh || d.title_en || d.name),
              kind: d.kind,
              ...(d.unit ? { unit: d.unit } : {}),
              ...(d.section ? { section: d.section } : {}),
              ...(d.kind === 'enum' || d.kind === 'multi_enum' ? { options: d.options ?? [] } : {}),
              ...(d.kind === 'table'
                ? { columns: (d.columns ?? []).map((n) => attribute?.columns?.find((c) => c.name === n) ?? { name: n, title: { en: n }, kind: 'text' as const }) }
                : {}),
              required: d.required && !hidden,
              indexed: indexable && d.indexed,
              editable: attribute?.editable ?? true,
              ...((d.kind === 'reference' || d.kind === 'references') && d.target ? { target: d.target } : {}),
              ...(typeof d.importance === 'number' ? { importance: d.importance } : {}),
              ...(d.sources?.length ? { sources: d.sources } : {}),
              ...(d.kind === 'json' && d.schema?.trim() ? { schema: JSON.parse(d.schema) as Json } : {}),
              ...(d.kind === 'enum' ? { colours: Object.fromEntries(Object.entries(d.colours ?? {}).filter(([o, c]) => c && d.options?.includes(o))) } : {}),
              ...rulesOf(d, attribute),
            },
            indexable && d.unique,
          )
        }
      >
        <div className="form-grid">
          <Form.Item
            name="name"
            label={t('cmdb.attributeName')}
            rules={[
              { required: true, message: t('form.required') },
              { pattern: /^[a-z][a-z0-9_]{0,39}$/, message: t('cmdb.nameHint') },
              { validator: (_, v) => (taken.includes(v) ? Promise.reject(new Error(t('cmdb.nameTaken'))) : Promise.resolve()) },
            ]}
          >
            <Input disabled={Boolean(attribute)} className="mono-input" />
          </Form.Item>
          <Form.Item name="kind" label={t('cmdb.kind')}>
            <Select disabled={attribute?.editable === false} options={KINDS.map((k) => ({ value: k, label: maybe(`kind.${k}`, k) }))} />
          </Form.Item>
          <Form.Item name="title_en" label={t('cmdb.titleEn')}>
            <Input />
          </Form.Item>
          <Form.Item name="title_zh" label={t('cmdb.titleZh')}>
            <Input />
          </Form.Item>
          <Form.Item name="section" label={t('cmdb.section')}>
            <Input />
          </Form.Item>
          {(kind === 'integer' || kind === 'decimal') && (
            <Form.Item name="unit" label={t('cmdb.unit')}>
              <Input placeholder="bytes, ms, %" />
            </Form.Item>
          )}
          {(kind === 'enum' || kind === 'multi_enum') && (
            <Form.Item name="options" label={t('cmdb.options')} className="wide" rules={[{ required: true, message: t('form.required') }]}>
              <Select mode="tags" open={false} tokenSeparators={[',']} suffixIcon={null} />
            </Form.Item>
          )}
          {kind === 'table' && (
            <Form.Item name="columns" label={t('cmdb.columns')} className="wide" rules={[{ required: true, message: t('form.required') }]}>
              <Select mode="tags" open={false} tokenSeparators={[',']} suffixIcon={null} />
            </Form.Item>
          )}
          {kind === 'enum' &&
            options.map((o) => (
              <Form.Item key={o} name={['colours', o]} label={`${t('attr.colours')}: ${o}`}>
                <Select allowClear placeholder={t('attr.colour.none')} options={COLOURS.map((c) => ({ value: c, label: <Tag color={c === 'grey' ? undefined : c}>{c}</Tag> }))} />
              </Form.Item>
            ))}
          {(kind === 'reference' || kind === 'references') && (
            <Form.Item name="target" label={t('attr.target')} rules={[{ required: true, message: t('form.required') }]}>
              <Select showSearch optionFilterProp="label" options={(models.data?.items ?? []).map((m) => ({ value: m.name, label: tl(m.title) || m.name }))} />
            </Form.Item>
          )}
          {kind === 'json' && (
            <Form.Item name="schema" label={t('attr.schema')} className="wide" rules={[{ validator: (_, v) => validJson(v, (why) => t('form.notJson', { why })) }]}>
              <Input.TextArea autoSize={{ minRows: 2, maxRows: 12 }} className="mono-input" spellCheck={false} placeholder={'{"type": "object"}'} />
            </Form.Item>
          )}
          {isText(kind) && (
            <Form.Item name="pattern" label={t('rule.pattern')} className="wide" extra={t('rule.patternHelp')} rules={[{ max: 500, message: t('form.tooLong', { n: 500 }) }]}>
              <Input className="mono-input" spellCheck={false} autoCapitalize="off" autoComplete="off" placeholder="^[A-Z]{3}-[0-9]+$" />
            </Form.Item>
          )}
          {measured && (
            <>
              <Form.Item name="min" label={isText(kind) ? t('rule.minLength') : t('rule.min')}>
                <InputNumber style={{ width: '100%' }} {...(isText(kind) ? { min: 0, precision: 0 } : {})} />
              </Form.Item>
              <Form.Item
                name="max"
                label={isText(kind) ? t('rule.maxLength') : t('rule.max')}
                dependencies={['min']}
                rules={[{ validator: (_, v) => (typeof v === 'number' && typeof bounds.min === 'number' && v < bounds.min ? Promise.reject(new Error(t('form.tooSmall', { n: bounds.min }))) : Promise.resolve()) }]}
              >
                <InputNumber style={{ width: '100%' }} {...(isText(kind) ? { min: 0, precision: 0 } : {})} />
              </Form.Item>
            </>
          )}
          <Form.Item name="importance" label={t('attr.importance')} extra={t('attr.importanceHint')}>
            <InputNumber min={0} max={10} precision={0} style={{ width: '100%' }} />
          </Form.Item>
          <Form.Item name="sources" label={t('attr.sources')} extra={t('attr.sourcesHint')}>
            <Select mode="tags" open={false} tokenSeparators={[',']} suffixIcon={null} />
          </Form.Item>
          {kind !== 'table' && kind !== 'reference' && kind !== 'references' && !hidden && (
            <Form.Item
              key={kind}
              name="default"
              label={t('rule.default')}
              className={['long_text', 'list', 'json'].includes(kind) ? 'wide' : undefined}
              extra={t('rule.defaultHint')}
              dependencies={['min', 'max', 'options']}
              rules={[
                {
                  validator: (_, v) => {
                    const w = wrong(probe, v);
                    if (w) return Promise.reject(new Error(t(`form.${w.what}`, { n: w.n })));
                    const chosen: unknown[] = kind === 'enum' || kind === 'multi_enum' ? [v ?? []].flat() : [];
                    if (!chosen.every((o) => options.includes(o as string))) return Promise.reject(new Error(t('rule.defaultNoOption')));
                    try {
                      fromInput(probe, v);
                      return Promise.resolve();
                    } catch (e) {
                      return Promise.reject(new Error(t('form.notJson', { why: e instanceof Error ? e.message : '' })));
                    }
                  },
                },
              ]}
            >
              {kind === 'boolean' ? (
                <Select
                  allowClear
                  options={[
                    { value: true, label: t('value.yes') },
                    { value: false, label: t('value.no') },
                  ]}
                />
              ) : (
                <AttributeInput attribute={probe} />
              )}
            </Form.Item>
          )}
        </div>
        <Space wrap>
          <Form.Item name="required" valuePropName="checked" noStyle>
            <Checkbox disabled={hidden}>{t('trait.required')}</Checkbox>
          </Form.Item>
          <Form.Item name="unique" valuePropName="checked" noStyle>
            <Checkbox disabled={!indexable}>{t('trait.unique')}</Checkbox>
          </Form.Item>
          <Form.Item name="indexed" valuePropName="checked" noStyle>
            <Checkbox disabled={!indexable}>{t('trait.indexed')}</Checkbox>
          </Form.Item>
        </Space>
      </Form>
    </Modal>
  );
}
