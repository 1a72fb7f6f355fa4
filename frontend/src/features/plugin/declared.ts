/** What a declared page may say. The words of `docs/plugin-pages.md`. */
import { BASE, toProblem } from '../../api/client';
import type { Json } from '../../api/types';
import type { Text } from '../../i18n';
import type { Schema } from '../../components/SchemaForm';
import { pluginUrl } from './path';

/** Where data comes from: a path of the plugin, or one of its actions. `at` is a JSON pointer into the answer. */
export type Source = string | { path?: string; action?: string; input?: Json; at?: string };

export interface ActionSpec {
  title: Text;
  /** `POST` when absent. */
  method?: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** A path of the plugin; `{field}` takes the row's value. */
  path?: string;
  /** Or one of the plugin's actions. */
  action?: string;
  /** What is sent; the form's value when there is one. Texts may hold `{field}`. */
  input?: Json;
  /** Asked before. */
  confirm?: Text;
  /** Asked for before: its value is sent. */
  form?: Schema;
  style?: 'primary' | 'danger';
  /** Said when it worked. */
  done?: Text;
  /** Where to go then: a path of the portal; `{field}` takes the answer's value. */
  then?: string;
}

export type CellKind = 'text' | 'number' | 'bytes' | 'duration' | 'time' | 'status' | 'boolean' | 'code' | 'json';

export interface ColumnSpec {
  /** Name of a field, or a JSON pointer into the row. */
  field: string;
  title?: Text;
  kind?: CellKind;
  unit?: string;
  /** A path of the portal; `{field}` takes the row's value. */
  link?: string;
}

export type Block =
  | { type: 'markdown'; text?: Text; source?: Source }
  | { type: 'stat'; title?: Text; source: Source; items: { label: Text; field: string; kind?: CellKind; unit?: string; tone?: 'ok' | 'warn' | 'bad' | 'info' }[] }
  | { type: 'table'; title?: Text; source: Source; columns: ColumnSpec[]; actions?: ActionSpec[]; toolbar?: ActionSpec[]; empty?: Text; search?: boolean }
  | { type: 'form'; title?: Text; schema: Schema; source?: Source; submit: ActionSpec }
  | { type: 'actions'; title?: Text; items: ActionSpec[] };

export interface PageSpec {
  title?: Text;
  /** Events upon which all sources are read again, and how often they are anyhow. */
  refresh?: { events?: string[]; seconds?: number };
  blocks: Block[];
}

const BLOCKS = ['markdown', 'stat', 'table', 'form', 'actions'];

/** The page, or what its author has to mend. */
export function parsePage(v: unknown): PageSpec | { wrong: string } {
  const page = v as PageSpec | null;
  if (typeof page !== 'object' || page === null || !Array.isArray(page.blocks)) return { wrong: '/blocks: a list of blocks is needed' };
  for (const [i, b] of page.blocks.entries()) {
    const at = `/blocks/${i}`;
    if (typeof b !== 'object' || b === null || !BLOCKS.includes(b.type)) return { wrong: `${at}/type: one of ${BLOCKS.join(', ')}` };
    if (b.type === 'table' && !Array.isArray(b.columns)) return { wrong: `${at}/columns: a list of columns is needed` };
    if ((b.type === 'table' || b.type === 'stat') && !b.source) return { wrong: `${at}/source: a path or an action of the plugin is needed` };
    if (b.type === 'stat' && !Array.isArray(b.items)) return { wrong: `${at}/items: a list is needed` };
    if (b.type === 'form' && (!b.schema || !b.submit)) return { wrong: `${at}: a form needs schema and submit` };
    if (b.type === 'actions' && !Array.isArray(b.items)) return { wrong: `${at}/items: a list is needed` };
  }
  return page;
}

/** A value by field name or by JSON pointer. */
export function pick(v: Json | undefined, at: string | undefined): Json | undefined {
  if (at === undefined || at === '') return v;
  const parts = at.startsWith('/') ? at.slice(1).split('/').map((p) => p.replace(/~1/g, '/').replace(/~0/g, '~')) : [at];
  let out: Json | undefined = v;
  for (const p of parts) {
    if (Array.isArray(out)) out = out[Number(p)];
    else if (typeof out === 'object' && out !== null) out = out[p];
    else return undefined;
  }
  return out;
}

/** `{field}` in a path becomes the record's value, encoded: a value is never a way to another path. */
export function fillPath(template: string, record: Json | undefined): string {
  return template.replace(/\{([^{}]+)\}/g, (_, field: string) => {
    const v = pick(record, field);
    return encodeURIComponent(v === undefined || v === null ? '' : typeof v === 'object' ? JSON.stringify(v) : String(v));
  });
}

/** `{field}` in texts; a text that is one placeholder alone keeps the value's type. */
export function fillJson(template: Json, record: Json | undefined): Json {
  if (typeof template === 'string') {
    const whole = /^\{([^{}]+)\}$/.exec(template);
    if (whole) return pick(record, whole[1]) ?? null;
    return template.replace(/\{([^{}]+)\}/g, (_, f: string) => {
      const v = pick(record, f);
      return v === undefined || v === null ? '' : typeof v === 'object' ? JSON.stringify(v) : String(v);
    });
  }
  if (Array.isArray(template)) return template.map((x) => fillJson(x, record));
  if (typeof template === 'object' && template !== null) return Object.fromEntries(Object.entries(template).map(([k, v]) => [k, fillJson(v, record)]));
  return template;
}

async function ask(method: string, url: string, body?: Json): Promise<Json> {
  const response = await fetch(url, {
    method,
    headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: 'same-origin',
    redirect: 'manual',
  });
  if (!response.ok) throw await toProblem(response);
  const text = await response.text();
  if (!text) return null;
  return (response.headers.get('content-type') ?? '').includes('json') ? (JSON.parse(text) as Json) : text;
}

function url(plugin: string, path: string): string {
  const out = pluginUrl(BASE, plugin, path);
  if (out === null) throw new Error(`${path}: not a path of this plugin`);
  return out;
}

export async function read(plugin: string, source: Source): Promise<Json | undefined> {
  const s = typeof source === 'string' ? { path: source } : source;
  const answer = s.action
    ? await ask('POST', `${BASE}/plugins/${encodeURIComponent(plugin)}/actions/${encodeURIComponent(s.action)}`, s.input ?? {})
    : await ask('GET', url(plugin, s.path ?? '/'));
  return pick(answer, s.at);
}

export async function act(plugin: string, a: ActionSpec, record: Json | undefined, value: Json | undefined): Promise<Json> {
  const body = value ?? (a.input === undefined ? undefined : fillJson(a.input, record));
  if (a.action) return ask('POST', `${BASE}/plugins/${encodeURIComponent(plugin)}/actions/${encodeURIComponent(a.action)}`, body ?? {});
  return ask(a.method ?? 'POST', url(plugin, fillPath(a.path ?? '/', record)), body);
}
