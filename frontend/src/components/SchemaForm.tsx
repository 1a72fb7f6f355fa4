/** A form from a JSON Schema: the part of it that people write for inputs and settings. The host validates all of it. */
import { Button, Input, InputNumber, Select, Switch } from 'antd';
import { Plus, X } from 'lucide-react';
import { lazy, Suspense, useId, useState, type ReactNode } from 'react';
import type { Json } from '../api/types';
import { useI18n, type Text } from '../i18n';
import { Icon } from './base';

const CodeEditor = lazy(() => import('./CodeEditor'));

export interface Schema {
  type?: string | string[];
  title?: Text;
  description?: Text;
  default?: Json;
  enum?: Json[];
  const?: Json;
  format?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  pattern?: string;
  readOnly?: boolean;
  writeOnly?: boolean;
  oneOf?: Schema[];
  additionalProperties?: unknown;
}

export type Obj = { [key: string]: Json };

export function isObject(v: unknown): v is Obj {
  return typeof v === 'object' && v !== null && !Array.isArray(v);
}

function typeOf(s: Schema): string | undefined {
  if (Array.isArray(s.type)) return s.type.find((x) => x !== 'null');
  return s.type ?? (s.properties ? 'object' : s.enum ? 'string' : undefined);
}

/** What a form starts with: defaults, as deep as they are declared. */
export function defaults(s: Schema | undefined): Json | undefined {
  if (!s) return undefined;
  if (s.default !== undefined) return s.default;
  if (s.const !== undefined) return s.const;
  if (typeOf(s) === 'object' && s.properties) {
    const out: Obj = {};
    for (const [k, v] of Object.entries(s.properties)) {
      const d = defaults(v);
      if (d !== undefined) out[k] = d;
    }
    return out;
  }
  return undefined;
}

export interface FieldError {
  pointer: string;
  key: 'form.required' | 'form.tooSmall' | 'form.tooLarge' | 'form.pattern';
  params?: Record<string, string | number>;
}

/** What can be said before the host is asked: missing values, bounds, patterns. */
export function check(s: Schema, v: Json | undefined, pointer = ''): FieldError[] {
  const out: FieldError[] = [];
  if (typeOf(s) === 'object' && s.properties) {
    const o = isObject(v) ? v : {};
    for (const name of s.required ?? []) {
      const value = o[name];
      if (value === undefined || value === null || value === '') out.push({ pointer: `${pointer}/${name}`, key: 'form.required' });
    }
    for (const [name, child] of Object.entries(s.properties)) {
      if (o[name] !== undefined && o[name] !== null) out.push(...check(child, o[name], `${pointer}/${name}`));
    }
  } else if (typeOf(s) === 'array' && Array.isArray(v) && s.items) {
    v.forEach((x, i) => out.push(...check(s.items ?? {}, x, `${pointer}/${i}`)));
  } else if (typeof v === 'number') {
    if (s.minimum !== undefined && v < s.minimum) out.push({ pointer, key: 'form.tooSmall', params: { n: s.minimum } });
    if (s.maximum !== undefined && v > s.maximum) out.push({ pointer, key: 'form.tooLarge', params: { n: s.maximum } });
  } else if (typeof v === 'string' && s.pattern && v !== '') {
    try {
      if (!new RegExp(s.pattern, 'u').test(v)) out.push({ pointer, key: 'form.pattern', params: { pattern: s.pattern } });
    } catch {
      // A pattern that only the host can read.
    }
  }
  return out;
}

interface Props {
  schema: Schema;
  value: Json | undefined;
  onChange: (v: Json | undefined) => void;
  errors?: FieldError[];
  pointer?: string;
}

export function SchemaForm({ schema, value, onChange, errors = [], pointer = '' }: Props) {
  const o = isObject(value) ? value : {};
  const entries = Object.entries(schema.properties ?? {});
  return (
    <div className="form-grid">
      {entries.map(([name, s]) => (
        <Field
          key={name}
          name={name}
          schema={s}
          required={schema.required?.includes(name) ?? false}
          value={o[name]}
          errors={errors}
          pointer={`${pointer}/${name}`}
          onChange={(v) => {
            const next: Obj = { ...o };
            if (v === undefined) delete next[name];
            else next[name] = v;
            onChange(next);
          }}
        />
      ))}
    </div>
  );
}

function Field({ name, schema: s, required, value, onChange, errors, pointer }: { name: string; schema: Schema; required: boolean; value: Json | undefined; onChange: (v: Json | undefined) => void; errors: FieldError[]; pointer: string }) {
  const { t, tl } = useI18n();
  const id = useId();
  const title = tl(s.title) || name;
  const type = typeOf(s);
  const own = errors.filter((e) => e.pointer === pointer);
  const described = [tl(s.description) ? `${id}-d` : '', own.length ? `${id}-e` : ''].join(' ').trim() || undefined;
  const common = { id, status: own.length ? ('error' as const) : undefined, 'aria-describedby': described, disabled: s.readOnly };

  if (type === 'object' && s.properties) {
    return (
      <fieldset className="wide" style={{ marginBottom: 14 }}>
        <legend>{title}</legend>
        {tl(s.description) && <p className="dim">{tl(s.description)}</p>}
        <SchemaForm schema={s} value={value} onChange={onChange} errors={errors} pointer={pointer} />
      </fieldset>
    );
  }
  if (type === 'array' && s.items && typeOf(s.items) === 'object' && s.items.properties) {
    const items = Array.isArray(value) ? value : [];
    return (
      <fieldset className="wide" style={{ marginBottom: 14 }}>
        <legend>{title}</legend>
        {tl(s.description) && <p className="dim">{tl(s.description)}</p>}
        {items.map((item, i) => (
          <div key={i} className="row" style={{ alignItems: 'flex-start' }}>
            <div className="grow">
              <SchemaForm schema={s.items ?? {}} value={item} errors={errors} pointer={`${pointer}/${i}`} onChange={(v) => onChange(items.map((old, j) => (j === i ? (v ?? {}) : old)))} />
            </div>
            <button type="button" className="icon-btn" aria-label={t('form.removeItem', { n: i + 1 })} onClick={() => onChange(items.filter((_, j) => j !== i))}>
              <Icon of={X} />
            </button>
          </div>
        ))}
        <Button size="small" icon={<Icon of={Plus} />} onClick={() => onChange([...items, defaults(s.items) ?? {}])}>
          {t('form.addItem')}
        </Button>
      </fieldset>
    );
  }

  let control: ReactNode;
  let wide = false;
  const options = choices(s, tl);
  const itemOptions = s.items ? choices(s.items, tl) : null;
  if (options) {
    control = <Select {...common} allowClear={!required} showSearch optionFilterProp="label" value={value === undefined ? undefined : JSON.stringify(value)} options={options} onChange={(v?: string) => onChange(v === undefined ? undefined : (JSON.parse(v) as Json))} />;
  } else if (type === 'boolean') {
    control = <Switch id={id} disabled={s.readOnly} checked={value === true} onChange={onChange} aria-describedby={described} />;
  } else if (type === 'integer' || type === 'number') {
    control = <InputNumber {...common} style={{ width: '100%' }} precision={type === 'integer' ? 0 : undefined} value={typeof value === 'number' ? value : null} onChange={(v) => onChange(v ?? undefined)} />;
  } else if (type === 'array' && (!s.items || ['string', 'integer', 'number'].includes(typeOf(s.items) ?? 'string'))) {
    wide = true;
    const numeric = s.items && typeOf(s.items) !== 'string' && typeOf(s.items) !== undefined;
    control = itemOptions ? (
      <Select {...common} mode="multiple" options={itemOptions} value={Array.isArray(value) ? value.map((v) => JSON.stringify(v)) : []} onChange={(v: string[]) => onChange(v.map((x) => JSON.parse(x) as Json))} />
    ) : (
      <Select
        {...common}
        mode="tags"
        open={false}
        suffixIcon={null}
        tokenSeparators={[',']}
        value={Array.isArray(value) ? value.map(String) : []}
        onChange={(v: string[]) => onChange(numeric ? v.map(Number).filter((n) => !Number.isNaN(n)) : v)}
      />
    );
  } else if (type === 'string') {
    const text = typeof value === 'string' ? value : '';
    const set = (v: string) => onChange(v === '' && !required ? undefined : v);
    if (s.writeOnly || s.format === 'password') control = <Input.Password {...common} autoComplete="new-password" value={text} onChange={(e) => set(e.target.value)} />;
    else if (s.format === 'multiline' || s.format === 'textarea' || (s.maxLength ?? 0) > 400) {
      wide = true;
      control = <Input.TextArea {...common} autoSize={{ minRows: 2, maxRows: 12 }} value={text} onChange={(e) => set(e.target.value)} />;
    } else control = <Input {...common} value={text} maxLength={s.maxLength} type={s.format === 'date' ? 'date' : s.format === 'email' ? 'email' : s.format === 'uri' ? 'url' : 'text'} onChange={(e) => set(e.target.value)} />;
  } else {
    wide = true;
    control = <JsonField value={value} onChange={onChange} label={title} />;
  }
  return (
    <div className={wide ? 'wide' : undefined} style={{ marginBottom: 12 }}>
      <label htmlFor={id} style={{ display: 'block', marginBottom: 3 }}>
        {title}
        {required && (
          <span aria-hidden="true" style={{ color: 'var(--p-bad)' }}>
            {' '}
            *
          </span>
        )}
      </label>
      <div style={type === 'boolean' ? undefined : { display: 'grid' }}>{control}</div>
      {tl(s.description) && (
        <div id={`${id}-d`} className="faint" style={{ fontSize: 12, marginTop: 2 }}>
          {tl(s.description)}
        </div>
      )}
      {own.length > 0 && (
        <div id={`${id}-e`} role="alert" style={{ color: 'var(--p-bad)', fontSize: 12 }}>
          {own.map((e) => t(e.key, e.params)).join(' ')}
        </div>
      )}
    </div>
  );
}

function choices(s: Schema, tl: (t: Text) => string): { value: string; label: string }[] | null {
  if (s.enum) return s.enum.map((v) => ({ value: JSON.stringify(v), label: typeof v === 'string' ? v : JSON.stringify(v) }));
  if (s.oneOf && s.oneOf.every((o) => o.const !== undefined)) return s.oneOf.map((o) => ({ value: JSON.stringify(o.const), label: tl(o.title) || String(o.const) }));
  return null;
}

/** Any JSON, as text; what does not parse is not passed on. */
export function JsonField({ value, onChange, label }: { value: Json | undefined; onChange: (v: Json | undefined) => void; label: string }) {
  const { t } = useI18n();
  const [text, setText] = useState(() => (value === undefined ? '' : JSON.stringify(value, null, 2)));
  const [wrong, setWrong] = useState('');
  return (
    <>
      <Suspense fallback={<Input.TextArea rows={4} disabled value={text} />}>
        <CodeEditor
          language="json"
          label={label}
          minHeight={90}
          value={text}
          onChange={(v) => {
            setText(v);
            if (v.trim() === '') {
              setWrong('');
              onChange(undefined);
              return;
            }
            try {
              onChange(JSON.parse(v) as Json);
              setWrong('');
            } catch (e) {
              setWrong(t('form.notJson', { why: e instanceof Error ? e.message : '' }));
            }
          }}
        />
      </Suspense>
      {wrong && (
        <div role="alert" style={{ color: 'var(--p-bad)', fontSize: 12 }}>
          {wrong}
        </div>
      )}
    </>
  );
}
