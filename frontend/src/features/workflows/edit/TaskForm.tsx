/** The chosen task as a form. Every change is a change of the text. */
import { Button, Dropdown, Input, Select } from 'antd';
import { ArrowDown, ArrowUp, Copy, FileText, MoreHorizontal, Plus, Trash2, X } from 'lucide-react';
import { useId, useState } from 'react';
import type { ActionInfo, Json } from '../../../api/types';
import { Icon, Note } from '../../../components/base';
import { isObject, JsonField, type Schema } from '../../../components/SchemaForm';
import { useI18n, type Text } from '../../../i18n';
import type { GNode } from '../canvas/graph';
import { partsOf } from './blocks';
import { ExpressionForm, ExpressionInput } from './ExpressionForm';
import { inner, isExpression, type Name } from './scope';

export interface TaskEdits {
  set: (path: string[], value: Json | undefined) => void;
  rename: (name: string) => void;
  remove: () => void;
  duplicate: () => void;
  move: (by: -1 | 1) => void;
  add: () => void;
  showText: () => void;
  close: () => void;
}

interface Props {
  node: GNode;
  task: Json | undefined;
  siblings: string[];
  names: readonly Name[];
  actions: readonly ActionInfo[];
  functions: string[];
  problems: string[] | undefined;
  edits: TaskEdits;
}

export function TaskForm({ node, task, siblings, names, actions, functions, problems, edits }: Props) {
  const { t } = useI18n();
  const o = isObject(task) ? task : {};
  return (
    <section className="wf-panel" aria-label={t('run.task', { name: node.name })}>
      <header className="row between">
        <div className="grow">
          <NameInput key={node.id} name={node.name} onRename={edits.rename} />
          <div className="dim">{t(`canvas.kind.${node.kind}`)}</div>
        </div>
        <span className="row" style={{ gap: 0 }}>
          <button type="button" className="icon-btn" aria-label={t('edit.up')} title={t('edit.up')} onClick={() => edits.move(-1)}>
            <Icon of={ArrowUp} />
          </button>
          <button type="button" className="icon-btn" aria-label={t('edit.down')} title={t('edit.down')} onClick={() => edits.move(1)}>
            <Icon of={ArrowDown} />
          </button>
          <button type="button" className="icon-btn" aria-label={t('edit.add')} title={t('edit.add')} onClick={edits.add}>
            <Icon of={Plus} />
          </button>
          <Dropdown
            trigger={['click']}
            menu={{
              items: [
                { key: 'copy', icon: <Icon of={Copy} />, label: t('edit.duplicate'), onClick: edits.duplicate },
                { key: 'text', icon: <Icon of={FileText} />, label: t('edit.showText'), onClick: edits.showText },
                { key: 'remove', danger: true, icon: <Icon of={Trash2} />, label: t('action.delete'), onClick: edits.remove },
              ],
            }}
          >
            <button type="button" className="icon-btn" aria-label={t('action.more')}>
              <Icon of={MoreHorizontal} />
            </button>
          </Dropdown>
          <button type="button" className="icon-btn" aria-label={t('action.close')} onClick={edits.close}>
            <Icon of={X} />
          </button>
        </span>
      </header>
      {problems && (
        <Note tone="bad" title={t('workflows.problems', { n: problems.length })}>
          <ul>
            {problems.map((p) => (
              <li key={p}>{p}</li>
            ))}
          </ul>
        </Note>
      )}
      {node.kind === 'call' && <CallPart node={node} call={o.call} input={o.with} actions={actions} functions={functions} names={names} edits={edits} />}
      {node.kind === 'switch' && <CasesPart cases={o.switch} siblings={siblings} names={names} onChange={(v) => edits.set(['switch'], v)} />}
      {partsOf(node.kind).map((p) => (
        <fieldset key={`${node.id} ${p.path.join('/')}`}>
          <legend>{t(p.title)}</legend>
          {p.schema ? (
            <ExpressionForm schema={p.schema} value={valueIn(o, p.path)} names={names} onChange={(v) => (p.path.length === 0 ? setEach(edits, o, p.schema, v) : edits.set(p.path, v))} />
          ) : (
            <JsonField key={node.id} label={t(p.title)} value={valueIn(o, p.path)} onChange={(v) => edits.set(p.path, v)} />
          )}
        </fieldset>
      ))}
      <CommonPart key={node.id} task={o} siblings={siblings.filter((s) => s !== node.name)} names={names} edits={edits} />
    </section>
  );
}

function valueIn(o: Json, path: string[]): Json | undefined {
  let at: Json | undefined = o;
  for (const p of path) at = isObject(at) ? at[p] : undefined;
  return at;
}

/** Fields that lie in the task itself: each is set by itself, so that nothing else of the task is touched. */
function setEach(edits: TaskEdits, o: Json, schema: Schema | null, v: Json | undefined) {
  for (const k of Object.keys(schema?.properties ?? {})) {
    const now = isObject(v) ? v[k] : undefined;
    if (now !== valueIn(o, [k])) edits.set([k], now);
  }
}

function NameInput({ name, onRename }: { name: string; onRename: (v: string) => void }) {
  const { t } = useI18n();
  const [text, setText] = useState(name);
  const done = () => {
    if (text.trim() && text.trim() !== name) onRename(text.trim());
    else setText(name);
  };
  return <Input variant="borderless" style={{ fontWeight: 600, paddingInline: 0 }} aria-label={t('edit.name')} value={text} onChange={(e) => setText(e.target.value)} onBlur={done} onPressEnter={done} />;
}

function CallPart({ node, call, input, actions, functions, names, edits }: { node: GNode; call: Json | undefined; input: Json | undefined; actions: readonly ActionInfo[]; functions: string[]; names: readonly Name[]; edits: TaskEdits }) {
  const { t, tl } = useI18n();
  const action = actions.find((a) => a.name === call);
  const schema = isObject(action?.input_schema) ? (action.input_schema as unknown as Schema) : null;
  return (
    <fieldset>
      <legend>{t('edit.call')}</legend>
      <Select
        showSearch
        style={{ width: '100%', marginBottom: 8 }}
        aria-label={t('edit.action')}
        value={typeof call === 'string' ? call : undefined}
        optionFilterProp="label"
        popupMatchSelectWidth={360}
        onChange={(v: string) => edits.set(['call'], v)}
        options={[
          ...functions.map((f) => ({ value: f, label: `${f} · ${t('canvas.kind.function')}` })),
          ...actions.map((a) => ({ value: a.name, label: `${a.name} · ${tl(a.title as Text)}` })),
        ]}
      />
      {action && tl(action.description as Text) && <p className="dim">{tl(action.description as Text)}</p>}
      {isExpression(input) ? (
        <ExpressionInput label={t('workflows.input')} names={names} value={inner(input)} onChange={(v) => edits.set(['with'], v.trim() ? `\${ ${v} }` : undefined)} />
      ) : schema?.properties && Object.keys(schema.properties).length > 0 ? (
        <ExpressionForm key={`${node.id} ${action?.name}`} schema={schema} value={input} names={names} onChange={(v) => edits.set(['with'], v)} />
      ) : (
        <JsonField key={node.id} label={t('workflows.input')} value={input} onChange={(v) => edits.set(['with'], v)} />
      )}
    </fieldset>
  );
}

const FLOWS = ['continue', 'exit', 'end'] as const;

function ThenSelect({ value, siblings, onChange, label }: { value: Json | undefined; siblings: string[]; onChange: (v: string | undefined) => void; label: string }) {
  const { t } = useI18n();
  return (
    <Select
      style={{ width: '100%' }}
      aria-label={label}
      value={typeof value === 'string' ? value : 'continue'}
      onChange={(v: string) => onChange(v)}
      options={[...FLOWS.map((f) => ({ value: f, label: t(`edit.then.${f}`) })), ...siblings.map((s) => ({ value: s, label: t('edit.then.to', { name: s }) }))]}
    />
  );
}

function CasesPart({ cases, siblings, names, onChange }: { cases: Json | undefined; siblings: string[]; names: readonly Name[]; onChange: (v: Json) => void }) {
  const { t } = useI18n();
  const all = (Array.isArray(cases) ? cases : []).flatMap((c) => (isObject(c) ? Object.entries(c).slice(0, 1) : [])).map(([name, c]) => ({ name, c: isObject(c) ? c : {} }));
  const put = (next: { name: string; c: { [k: string]: Json } }[]) => onChange(next.map(({ name, c }) => ({ [name]: c })));
  const change = (i: number, more: { name?: string; when?: string | undefined; then?: string | undefined }) =>
    put(
      all.map((x, j) => {
        if (i !== j) return x;
        const c = { ...x.c };
        if ('when' in more) {
          if (more.when === undefined) delete c.when;
          else c.when = more.when;
        }
        if (more.then !== undefined) c.then = more.then;
        return { name: more.name ?? x.name, c };
      }),
    );
  return (
    <fieldset>
      <legend>{t('edit.cases')}</legend>
      <div className="stack">
        {all.map(({ name, c }, i) => (
          <div key={i} className="wf-case">
            <div className="row">
              <Input size="small" aria-label={t('edit.caseName', { n: i + 1 })} value={name} onChange={(e) => change(i, { name: e.target.value })} />
              <button type="button" className="icon-btn" aria-label={t('edit.caseRemove', { name })} onClick={() => put(all.filter((_, j) => j !== i))}>
                <Icon of={X} />
              </button>
            </div>
            <ExpressionInput label={t('edit.when', { name })} names={names} value={typeof c.when === 'string' ? (isExpression(c.when) ? inner(c.when) : c.when) : ''} onChange={(v) => change(i, { when: v.trim() ? `\${ ${v} }` : undefined })} />
            <ThenSelect label={t('edit.thenOf', { name })} value={c.then} siblings={siblings} onChange={(v) => change(i, { then: v })} />
          </div>
        ))}
        <Button size="small" icon={<Icon of={Plus} />} onClick={() => put([...all, { name: `case-${all.length + 1}`, c: { when: '${ true }', then: 'continue' } }])}>
          {t('edit.caseAdd')}
        </Button>
      </div>
    </fieldset>
  );
}

/** What every task can have. */
function CommonPart({ task, siblings, names, edits }: { task: { [k: string]: Json }; siblings: string[]; names: readonly Name[]; edits: TaskEdits }) {
  const { t } = useI18n();
  const id = useId();
  const expression = (path: string[], v: string) => edits.set(path, v.trim() ? `\${ ${v} }` : undefined);
  const read = (path: string[]) => {
    const v = valueIn(task, path);
    return typeof v === 'string' ? (isExpression(v) ? inner(v) : v) : v === undefined ? '' : JSON.stringify(v);
  };
  const rows = [
    ['if', ['if']],
    ['input', ['input', 'from']],
    ['output', ['output', 'as']],
    ['export', ['export', 'as']],
  ] as const;
  const timeout = valueIn(task, ['timeout', 'after']);
  return (
    <fieldset>
      <legend>{t('edit.flow')}</legend>
      {rows.map(([key, path]) => {
        const given = valueIn(task, [...path]);
        return (
          <div key={key} style={{ marginBottom: 10 }}>
            <label htmlFor={`${id}-${key}`}>{t(`canvas.extra.${key}`)}</label>
            {given !== undefined && typeof given !== 'string' ? (
              <JsonField label={t(`canvas.extra.${key}`)} value={given} onChange={(v) => edits.set([...path], v)} />
            ) : (
              <ExpressionInput id={`${id}-${key}`} label={t(`canvas.extra.${key}`)} names={names} value={read([...path])} onChange={(v) => expression([...path], v)} />
            )}
          </div>
        );
      })}
      <div style={{ marginBottom: 10 }}>
        <label htmlFor={`${id}-timeout`}>{t('canvas.extra.timeout')}</label>
        <Input id={`${id}-timeout`} placeholder="PT5M" disabled={timeout !== undefined && typeof timeout !== 'string'} value={typeof timeout === 'string' ? timeout : timeout === undefined ? '' : JSON.stringify(timeout)} onChange={(e) => edits.set(['timeout', 'after'], e.target.value || undefined)} />
      </div>
      {!('switch' in task) && <ThenSelect label={t('edit.then')} value={task.then} siblings={siblings} onChange={(v) => edits.set(['then'], v === 'continue' ? undefined : v)} />}
    </fieldset>
  );
}
