/** A form from a JSON Schema in which any value may be an expression instead; expressions are completed from what is in scope. */
import { AutoComplete, Button, Input } from 'antd';
import { SquareFunction } from 'lucide-react';
import { useId, useRef, useState } from 'react';
import type { Json } from '../../../api/types';
import { Icon } from '../../../components/base';
import { isObject, JsonField, SchemaForm, type Obj, type Schema } from '../../../components/SchemaForm';
import { useI18n } from '../../../i18n';
import { completions, inner, isExpression, type Name } from './scope';

/** A jq expression, without its braces. */
export function ExpressionInput({ id, label, value: told, onChange, names }: { id?: string; label: string; value: string; onChange: (v: string) => void; names: readonly Name[] }) {
  const caret = useRef(told.length);
  const [at, setAt] = useState(told.length);
  // What is typed stays as it is typed: in the text a blank at the end has no place, in the middle of typing it has.
  const [typed, setTyped] = useState(told);
  const value = typed.trim() === told.trim() ? typed : told;
  const { from, names: found } = completions(value, at, names);
  // One of several lines needs the room; completion is for the short ones.
  if (told.includes('\n')) return <Input.TextArea id={id} aria-label={label} className="mono-input" spellCheck={false} autoSize={{ minRows: 2, maxRows: 12 }} value={value} onChange={(e) => { setTyped(e.target.value); onChange(e.target.value); }} />;
  return (
    <AutoComplete
      style={{ width: '100%' }}
      value={value}
      // What is chosen takes the place of the word at the caret, not of all.
      options={found.slice(0, 60).map((n) => ({
        value: value.slice(0, from) + n.text + value.slice(at),
        key: n.text,
        label: (
          <span className="row between">
            <code>{n.text}</code>
            <span className="faint">{n.from}</span>
          </span>
        ),
      }))}
      onSelect={(v: string) => {
        caret.current = v.length - (value.length - at);
        setAt(caret.current);
      }}
      onChange={(v: string) => {
        setTyped(v);
        onChange(v);
      }}
    >
      <Input id={id} aria-label={label} className="mono-input" spellCheck={false} onSelect={(e) => setAt((e.target as HTMLInputElement).selectionStart ?? value.length)} />
    </AutoComplete>
  );
}

/** One value: as its schema says, or as an expression. */
function Value({ name, schema, required, value, onChange, names }: { name: string; schema: Schema; required: boolean; value: Json | undefined; onChange: (v: Json | undefined) => void; names: readonly Name[] }) {
  const { t, tl } = useI18n();
  const id = useId();
  const always = schema.format === 'expression';
  const [asked, setAsked] = useState(false);
  const expression = always || asked || isExpression(value);
  const title = tl(schema.title) || name;
  return (
    <div className="fx">
      {expression ? (
        <div style={{ marginBottom: 12 }}>
          <label htmlFor={id} style={{ display: 'block', marginBottom: 3 }}>
            {title}
            {required && <span aria-hidden="true" style={{ color: 'var(--p-bad)' }}> *</span>}
          </label>
          <ExpressionInput
            id={id}
            label={t('edit.expressionOf', { name: title })}
            names={names}
            value={typeof value === 'string' ? (isExpression(value) ? inner(value) : value) : value === undefined ? '' : JSON.stringify(value)}
            onChange={(v) => onChange(v.trim() === '' && !asked ? undefined : v.trim() === '' ? '' : `\${ ${v} }`)}
          />
          {tl(schema.description) && <div className="faint" style={{ fontSize: 12, marginTop: 2 }}>{tl(schema.description)}</div>}
        </div>
      ) : (
        <SchemaForm schema={{ type: 'object', properties: { [name]: schema }, required: required ? [name] : [] }} value={value === undefined ? {} : { [name]: value }} onChange={(v) => onChange(isObject(v) ? v[name] : undefined)} />
      )}
      {!always && (
        <Button
          size="small"
          type={expression ? 'primary' : 'text'}
          className="fx-btn"
          aria-pressed={expression}
          aria-label={t('edit.asExpression', { name: title })}
          title={t('edit.asExpression', { name: title })}
          icon={<Icon of={SquareFunction} />}
          onClick={() => {
            if (expression) {
              setAsked(false);
              if (isExpression(value)) onChange(undefined);
            } else {
              setAsked(true);
              onChange(value === undefined || (value as Json) === '' ? undefined : `\${ ${JSON.stringify(value)} }`);
            }
          }}
        />
      )}
    </div>
  );
}

export function ExpressionForm({ schema, value, onChange, names }: { schema: Schema; value: Json | undefined; onChange: (v: Json | undefined) => void; names: readonly Name[] }) {
  const { t } = useI18n();
  const o: Obj = isObject(value) ? value : {};
  const properties = schema.properties ?? {};
  const known = Object.entries(properties);
  // What the schema does not name is kept, and can be changed as JSON.
  const others = Object.fromEntries(Object.entries(o).filter(([k]) => !(k in properties)));
  const put = (name: string, v: Json | undefined) => {
    const next: Obj = { ...o };
    if (v === undefined) delete next[name];
    else next[name] = v;
    onChange(Object.keys(next).length === 0 ? undefined : next);
  };
  // Required first, then what has a value; the rest is there when it is asked for.
  const shown = known.filter(([k]) => schema.required?.includes(k) || o[k] !== undefined || known.length <= 6);
  const hidden = known.filter((e) => !shown.includes(e));
  const [all, setAll] = useState(false);
  return (
    <>
      {(all ? known : shown).map(([name, s]) => (
        <Value key={name} name={name} schema={s} required={schema.required?.includes(name) ?? false} value={o[name]} onChange={(v) => put(name, v)} names={names} />
      ))}
      {hidden.length > 0 && !all && (
        <Button size="small" onClick={() => setAll(true)}>
          {t('edit.more', { n: hidden.length })}
        </Button>
      )}
      {Object.keys(others).length > 0 && <JsonField label={t('edit.others')} value={others} onChange={(v) => onChange({ ...Object.fromEntries(known.flatMap(([k]) => (o[k] === undefined ? [] : [[k, o[k] as Json]]))), ...(isObject(v) ? v : {}) })} />}
    </>
  );
}
