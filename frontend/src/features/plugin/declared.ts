/** What a declared page may say. The words of `docs/plugin-pages.md`. */
import { BASE, toProblem } from '../../api/client';
import type { Json } from '../../api/types';
import type { Text } from '../../i18n';
import type { ChartRow } from '../../components/chart';
import type { Schema } from '../../components/SchemaForm';
import { pluginUrl } from './path';

/** Where data comes from: a path of the plugin, or one of its actions, or data in the page itself. `at` is a JSON pointer into the answer. */
export type Source = string | { path?: string; action?: string; input?: Json; at?: string; data?: Json };

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

export type Tone = 'ok' | 'warn' | 'bad' | 'info';

/** Which fields of a row say its title, text, status, ...; names that are left out mean themselves. */
export type Fields = Partial<Record<'title' | 'text' | 'status' | 'at' | 'by' | 'link' | 'children' | 'level' | 'message' | 'fields', string>>;

export interface SeriesSpec {
  label: Text;
  field: string;
  kind?: CellKind;
  unit?: string;
  tone?: Tone;
}

export type Block =
  | { type: 'markdown'; text?: Text; source?: Source }
  | { type: 'stat'; title?: Text; source: Source; items: { label: Text; field: string; kind?: CellKind; unit?: string; tone?: Tone }[] }
  | { type: 'table'; title?: Text; source: Source; columns: ColumnSpec[]; actions?: ActionSpec[]; toolbar?: ActionSpec[]; empty?: Text; search?: boolean }
  | { type: 'detail'; title?: Text; source: Source; fields: ColumnSpec[]; actions?: ActionSpec[] }
  | { type: 'form'; title?: Text; schema: Schema; source?: Source; submit: ActionSpec }
  | { type: 'chart'; title?: Text; source: Source; kind?: 'line' | 'area' | 'bar'; x: string; x_kind?: 'time' | 'number' | 'text'; series: SeriesSpec[]; height?: number; empty?: Text }
  | { type: 'tabs'; items: { title: Text; blocks: Block[] }[] }
  | { type: 'steps'; title?: Text; source: Source; fields?: Fields; empty?: Text }
  | { type: 'log'; title?: Text; source: Source; fields?: Fields; empty?: Text }
  | { type: 'timeline'; title?: Text; source: Source; fields?: Fields; link?: string; empty?: Text }
  | { type: 'tree'; title?: Text; source: Source; fields?: Fields; link?: string; empty?: Text }
  | { type: 'empty'; title: Text; text?: Text; actions?: ActionSpec[] }
  | { type: 'actions'; title?: Text; items: ActionSpec[] };

export interface PageSpec {
  title?: Text;
  /** Events upon which all sources are read again, and how often they are anyhow. */
  refresh?: { events?: string[]; seconds?: number };
  blocks: Block[];
}

const BLOCKS = ['markdown', 'stat', 'table', 'detail', 'form', 'chart', 'tabs', 'steps', 'log', 'timeline', 'tree', 'empty', 'actions'];
/** Lists that a block cannot be without. */
const LISTS: Record<string, string> = { table: 'columns', stat: 'items', detail: 'fields', chart: 'series', tabs: 'items', actions: 'items' };
const SOURCED = ['table', 'stat', 'detail', 'chart', 'steps', 'log', 'timeline', 'tree'];
/** Tabs in tabs in tabs are the most that a reader can hold. */
const DEPTH = 3;

/** The page, or what its author has to mend. */
export function parsePage(v: unknown): PageSpec | { wrong: string } {
  const page = v as PageSpec | null;
  if (typeof page !== 'object' || page === null || !Array.isArray(page.blocks)) return { wrong: '/blocks: a list of blocks is needed' };
  const wrong = wrongBlock(page.blocks, '/blocks', 1);
  return wrong === null ? page : { wrong };
}

function wrongBlock(blocks: unknown[], where: string, depth: number): string | null {
  if (depth > DEPTH) return `${where}: tabs are ${DEPTH - 1} deep at the most`;
  for (const [i, x] of blocks.entries()) {
    const at = `${where}/${i}`;
    const b = x as (Record<string, unknown> & { type: string }) | null;
    if (typeof b !== 'object' || b === null || !BLOCKS.includes(b.type)) return `${at}/type: one of ${BLOCKS.join(', ')}`;
    const list = LISTS[b.type];
    if (list && !Array.isArray(b[list])) return `${at}/${list}: a list${b.type === 'table' ? ' of columns' : ''} is needed`;
    if (SOURCED.includes(b.type) && !b.source) return `${at}/source: a path or an action of the plugin, or data is needed`;
    if (b.type === 'form' && (!b.schema || !b.submit)) return `${at}: a form needs schema and submit`;
    if (b.type === 'chart' && typeof b.x !== 'string') return `${at}/x: the field along the axis is needed`;
    if (b.type === 'empty' && !b.title) return `${at}/title: a text is needed`;
    if (b.type === 'tabs') {
      for (const [j, tab] of (b.items as { blocks?: unknown }[]).entries()) {
        if (!Array.isArray(tab?.blocks)) return `${at}/items/${j}/blocks: a list of blocks is needed`;
        const inner = wrongBlock(tab.blocks, `${at}/items/${j}/blocks`, depth + 1);
        if (inner) return inner;
      }
    }
  }
  return null;
}

/** The rows of an answer: a list, or the `items` of an object. */
export function rowsOf(data: Json | undefined): Json[] {
  if (Array.isArray(data)) return data;
  return typeof data === 'object' && data !== null && Array.isArray(data.items) ? data.items : [];
}

/** A row's words, by the names that the page gives or by their own. */
export function part(row: Json, name: keyof Fields, fields: Fields | undefined): Json | undefined {
  if (typeof row === 'string') return name === 'title' || name === 'message' ? row : undefined;
  return pick(row, fields?.[name] ?? name);
}

/** A moment as RFC 3339, from that or from milliseconds since 1970; undefined where it is none. */
export function moment(v: Json | undefined): string | undefined {
  if (typeof v === 'number' && Number.isFinite(v) && Math.abs(v) <= 8.64e15) return new Date(v).toISOString();
  return typeof v === 'string' && !Number.isNaN(Date.parse(v)) ? v : undefined;
}

/** What a chart draws of an answer. A row without a place on the axis is left out. */
export function chartRows(data: Json | undefined, spec: Extract<Block, { type: 'chart' }>): ChartRow[] {
  const kind = spec.x_kind ?? 'text';
  const rows = rowsOf(data).flatMap((r): ChartRow[] => {
    const raw = pick(r, spec.x);
    let x: string | number;
    if (kind === 'text') x = raw === null || raw === undefined ? '' : typeof raw === 'object' ? JSON.stringify(raw) : String(raw);
    else {
      x = kind === 'time' ? Date.parse(moment(raw) ?? '') : Number(raw ?? NaN);
      if (!Number.isFinite(x)) return [];
    }
    const values = spec.series.map((s) => {
      const v = pick(r, s.field);
      return typeof v === 'number' && Number.isFinite(v) ? v : null;
    });
    return [{ x, values }];
  });
  return kind === 'text' ? rows : rows.sort((a, b) => Number(a.x) - Number(b.x));
}

/** Lines of a log: from a text, from texts, or from objects. */
export function logLines(data: Json | undefined, fields?: Fields): { at: string; level: string; message: string; fields: Json; call: string }[] {
  const rows: Json[] = typeof data === 'string' ? data.replace(/\n$/, '').split('\n') : rowsOf(data);
  return rows.slice(-2000).map((r) => {
    const message = part(r, 'message', fields);
    const level = part(r, 'level', fields);
    return {
      at: moment(part(r, 'at', fields)) ?? '',
      level: typeof level === 'string' ? level : '',
      message: typeof message === 'string' ? message : message === undefined ? '' : JSON.stringify(message),
      fields: part(r, 'fields', fields) ?? null,
      call: '',
    };
  });
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
  if (s.data !== undefined) return pick(s.data, s.at);
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
