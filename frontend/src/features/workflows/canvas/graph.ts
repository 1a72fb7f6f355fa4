/** A definition as a graph: its tasks by JSON pointer, nested as the language nests them, and where each leads. Knows nothing of drawing. */
import { parseDocument } from 'yaml';
import type { Json } from '../../../api/types';
import { isObject, type Obj } from '../../../components/SchemaForm';

export const KINDS = ['do', 'set', 'call', 'emit', 'for', 'fork', 'switch', 'try', 'wait', 'raise', 'listen', 'run'] as const;
export type Kind = (typeof KINDS)[number];
/** What is drawn besides tasks: where it begins, where it ends, where a list is left, what catches, a function that is called. */
export type Mark = 'start' | 'end' | 'exit' | 'catch' | 'function' | 'unknown';

/** What a task carries besides its work. */
export type Extra = 'if' | 'retry' | 'timeout' | 'input' | 'output' | 'export' | 'while' | 'compete';

export interface GList {
  /** JSON pointer of the list. */
  pointer: string;
  /** One after another, or at the same time. */
  order: 'sequence' | 'parallel';
  nodes: string[];
}

export interface GNode {
  /** The task's JSON pointer; for a mark, the list's with `#` and what it is. */
  id: string;
  kind: Kind | Mark;
  name: string;
  /** What it does, in few words: the action, the expression, the duration. */
  text: string;
  extras: Partial<Record<Extra, string>>;
  parent: string | null;
  /** The lists within; what has one is a container. */
  lists: GList[];
}

export type EdgeKind = 'next' | 'then' | 'case' | 'error';

export interface GEdge {
  id: string;
  from: string;
  to: string;
  kind: EdgeKind;
  /** Names of the cases that lead here; '' for the way on when none matches. */
  labels: string[];
}

export interface Graph {
  nodes: Map<string, GNode>;
  edges: GEdge[];
  /** The lists of the first level: the main one, then each function. */
  roots: GList[];
  /** The text is no definition: what the reader of YAML said. */
  broken: string | null;
}

export const step = (pointer: string, key: string | number) => `${pointer}/${String(key).replace(/~/g, '~0').replace(/\//g, '~1')}`;

const MAX_TASKS = 5_000;
const MAX_DEPTH = 30;

/** Reads a text, YAML or JSON. */
export function readDefinition(source: string): { value: Json; broken: string | null } {
  const doc = parseDocument(source, { logLevel: 'silent' });
  const first = doc.errors[0];
  try {
    return { value: (doc.toJS({ maxAliasCount: 1000 }) ?? null) as Json, broken: first ? first.message : null };
  } catch (e) {
    return { value: null, broken: e instanceof Error ? e.message : String(e) };
  }
}

export const graphOf = (source: string): Graph => {
  const { value, broken } = readDefinition(source);
  return toGraph(value, broken);
};

export function toGraph(value: Json, broken: string | null = null): Graph {
  const b = new Builder();
  const root = isObject(value) ? value : {};
  const roots: GList[] = [];
  const main = b.list(root.do, '/do', null, 'sequence', 0);
  b.top(main);
  roots.push(main);
  const functions = isObject(root.use) && isObject(root.use.functions) ? root.use.functions : {};
  for (const [name, task] of Object.entries(functions)) {
    const pointer = step('/use/functions', name);
    const id = `${pointer}#function`;
    const inner: GList = { pointer, order: 'sequence', nodes: [] };
    b.nodes.set(id, { id, kind: 'function', name, text: '', extras: {}, parent: null, lists: [inner] });
    if (b.task(name, task, pointer, id, 1)) inner.nodes.push(pointer);
    roots.push({ pointer: id, order: 'sequence', nodes: [id] });
  }
  return { nodes: b.nodes, edges: b.edges, roots, broken };
}

class Builder {
  nodes = new Map<string, GNode>();
  edges: GEdge[] = [];

  /** A list of tasks, `[{name: {..}}, ..]`, with the ways between them. */
  list(value: Json | undefined, pointer: string, parent: string | null, order: GList['order'], depth: number): GList {
    const out: GList = { pointer, order, nodes: [] };
    if (!Array.isArray(value) || depth > MAX_DEPTH) return out;
    const tasks: { name: string; id: string; task: Obj }[] = [];
    value.forEach((item, i) => {
      const entry = isObject(item) ? Object.entries(item)[0] : undefined;
      if (!entry || this.nodes.size >= MAX_TASKS) return;
      const [name, task] = entry;
      const id = step(`${pointer}/${i}`, name);
      if (!this.task(name, task, id, parent, depth + 1)) return;
      tasks.push({ name, id, task: isObject(task) ? task : {} });
      out.nodes.push(id);
    });
    if (order === 'sequence') this.ways(tasks, out, parent);
    return out;
  }

  private ways(tasks: { name: string; id: string; task: Obj }[], list: GList, parent: string | null) {
    const byName = new Map(tasks.map((t) => [t.name, t.id]));
    const marks = new Map<Mark, string>();
    const mark = (kind: 'exit' | 'end') => {
      // On the first level both are the end of the run.
      const what = parent === null ? 'end' : kind;
      const id = `${list.pointer}#${what}`;
      marks.set(what, id);
      return id;
    };
    const pending: { from: string; to: string | null; kind: EdgeKind; label: string | null }[] = [];
    tasks.forEach(({ id, task }, i) => {
      const next = tasks[i + 1]?.id ?? null;
      const target = (then: Json | undefined): { to: string | null; kind: EdgeKind } => {
        if (then === undefined || then === null || then === 'continue') return { to: next, kind: 'next' };
        if (then === 'exit' || then === 'end') return { to: mark(then), kind: 'then' };
        // A name that is not there is the validator's to say.
        return { to: byName.get(String(then)) ?? null, kind: 'then' };
      };
      if (Array.isArray(task.switch)) {
        let otherwise = true;
        for (const item of task.switch) {
          const [name, c] = (isObject(item) ? Object.entries(item)[0] : undefined) ?? [];
          if (!name || !isObject(c)) continue;
          if (c.when === undefined) otherwise = false;
          pending.push({ from: id, to: target(c.then).to, kind: 'case', label: name });
        }
        if (otherwise) pending.push({ from: id, ...target(task.then), label: '' });
        return;
      }
      const then = target(task.then);
      pending.push({ from: id, ...then, label: null });
      // What is not done leads on, whatever its `then` says.
      if (task.if !== undefined && then.kind === 'then') pending.push({ from: id, to: next, kind: 'next', label: '' });
    });
    // What goes on behind the last task leads to the mark, where there is one.
    const fallthrough = marks.get(parent === null ? 'end' : 'exit');
    for (const [kind, id] of marks) {
      this.nodes.set(id, { id, kind, name: '', text: '', extras: {}, parent, lists: [] });
      list.nodes.push(id);
    }
    const seen = new Map<string, GEdge>();
    for (const p of pending) {
      const to = p.to ?? (byName.size > 0 && p.kind !== 'then' ? fallthrough : undefined);
      if (!to) continue;
      const key = `${p.from}>${to}`;
      const known = seen.get(key);
      if (known) {
        if (p.label !== null) known.labels.push(p.label);
        continue;
      }
      const edge: GEdge = { id: key, from: p.from, to, kind: p.kind, labels: p.label === null ? [] : [p.label] };
      seen.set(key, edge);
      this.edges.push(edge);
    }
  }

  /** The first level has a beginning and an end that show. */
  top(list: GList) {
    const start = `${list.pointer}#start`;
    const end = `${list.pointer}#end`;
    const tasks = list.nodes.filter((id) => id !== end);
    this.nodes.set(start, { id: start, kind: 'start', name: '', text: '', extras: {}, parent: null, lists: [] });
    if (!this.nodes.has(end)) {
      this.nodes.set(end, { id: end, kind: 'end', name: '', text: '', extras: {}, parent: null, lists: [] });
      const last = tasks.at(-1);
      // What leaves the last task by name, or backwards, does not end there.
      const leaves = last ? this.edges.filter((e) => e.from === last) : [];
      const branches = last ? this.nodes.get(last)?.kind === 'switch' : false;
      const conditional = branches || (last ? this.nodes.get(last)?.extras.if !== undefined : false);
      if (last && (leaves.length === 0 || conditional)) this.edges.push({ id: `${last}>${end}`, from: last, to: end, kind: 'next', labels: conditional && leaves.length > 0 ? [''] : [] });
    }
    list.nodes = [start, ...tasks, end];
    this.edges.push({ id: `${start}>`, from: start, to: tasks[0] ?? end, kind: 'next', labels: [] });
  }

  task(name: string, value: Json | undefined, id: string, parent: string | null, depth: number): boolean {
    if (this.nodes.size >= MAX_TASKS) return false;
    const o = isObject(value) ? value : {};
    const kind = KINDS.find((k) => k in o && !(k === 'do' && ('for' in o || 'listen' in o))) ?? 'unknown';
    const node: GNode = { id, kind, name, text: describe(kind, o), extras: extras(o), parent, lists: [] };
    // Before what is within it, so that the map reads from the outside in.
    this.nodes.set(id, node);
    const within = (v: Json | undefined, at: string, order: GList['order'] = 'sequence') => node.lists.push(this.list(v, at, id, order, depth));
    switch (kind) {
      case 'do':
        within(o.do, `${id}/do`);
        break;
      case 'for':
        within(o.do, `${id}/do`);
        break;
      case 'fork':
        within(isObject(o.fork) ? o.fork.branches : undefined, `${id}/fork/branches`, 'parallel');
        break;
      case 'listen':
        if (isObject(o.foreach) && Array.isArray(o.foreach.do)) within(o.foreach.do, `${id}/foreach/do`);
        break;
      case 'try': {
        within(o.try, `${id}/try`);
        const c = isObject(o.catch) ? o.catch : {};
        const caught = `${id}/catch`;
        const retry = retryText(c.retry);
        const handler: GNode = { id: caught, kind: 'catch', name: '', text: caughtText(c), extras: retry === null ? {} : { retry }, parent: id, lists: [] };
        this.nodes.set(caught, handler);
        if (Array.isArray(c.do)) handler.lists.push(this.list(c.do, `${caught}/do`, caught, 'sequence', depth + 1));
        this.edges.push({ id: `${id}>${caught}`, from: id, to: caught, kind: 'error', labels: [] });
        break;
      }
      default:
    }
    return true;
  }
}

const short = (v: unknown, most = 90): string => {
  const text = typeof v === 'string' ? v : v === undefined ? '' : JSON.stringify(v);
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
};

const UNITS: [string, string][] = [['days', 'd'], ['hours', 'h'], ['minutes', 'min'], ['seconds', 's'], ['milliseconds', 'ms']];

/** A duration as people write it: `PT1H30M` and `{hours: 1, minutes: 30}` are `1 h 30 min`. */
export function durationText(v: Json | undefined): string {
  if (isObject(v)) return UNITS.flatMap(([key, unit]) => (v[key] === undefined ? [] : [`${short(v[key], 40)} ${unit}`])).join(' ');
  const m = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?$/.exec(String(v ?? ''));
  if (!m || !m.slice(1).some(Boolean)) return short(v);
  return m.slice(1).flatMap((n, i) => (n ? [`${n} ${UNITS[i]?.[1] ?? ''}`] : [])).join(' ');
}

function retryText(v: Json | undefined): string | null {
  if (v === undefined || v === null) return null;
  if (typeof v === 'string') return v;
  if (!isObject(v)) return '';
  const attempt = isObject(v.limit) && isObject(v.limit.attempt) ? v.limit.attempt.count : undefined;
  return [attempt === undefined ? '' : `${short(attempt)}×`, v.delay === undefined ? '' : durationText(v.delay)].filter(Boolean).join(', ');
}

function caughtText(c: Obj): string {
  const filter = isObject(c.errors) && isObject(c.errors.with) ? c.errors.with : {};
  const parts = Object.entries(filter).map(([k, v]) => `${k} = ${short(v, 60)}`);
  if (c.when !== undefined) parts.push(short(c.when));
  return parts.join(', ');
}

function extras(o: Obj): GNode['extras'] {
  const out: GNode['extras'] = {};
  if (o.if !== undefined) out.if = short(o.if, 200);
  if (o.while !== undefined) out.while = short(o.while, 200);
  if (o.timeout !== undefined) out.timeout = typeof o.timeout === 'string' ? o.timeout : durationText(isObject(o.timeout) ? (o.timeout.after ?? o.timeout) : o.timeout);
  for (const k of ['input', 'output', 'export'] as const) {
    if (isObject(o[k])) out[k] = short(o[k][k === 'input' ? 'from' : 'as'] ?? o[k], 200);
  }
  if (isObject(o.fork) && o.fork.compete === true) out.compete = 'true';
  return out;
}

function eventTypes(v: Json | undefined): string {
  if (!isObject(v)) return '';
  const types = (f: Json | undefined): string[] => {
    if (Array.isArray(f)) return f.flatMap(types);
    const type = isObject(f) && isObject(f.with) ? f.with.type : undefined;
    return type === undefined ? [] : [short(type, 60)];
  };
  for (const mode of ['one', 'any', 'all']) if (v[mode] !== undefined) return [mode === 'one' ? '' : `${mode}:`, types(v[mode]).join(', ')].filter(Boolean).join(' ');
  return '';
}

function describe(kind: GNode['kind'], o: Obj): string {
  const within = (k: string): Obj => (isObject(o[k]) ? o[k] : {});
  switch (kind) {
    case 'call': {
      const w = within('with');
      if (o.call === 'http') return short(`${typeof w.method === 'string' ? w.method.toUpperCase() : ''} ${short(isObject(w.endpoint) ? w.endpoint.uri : w.endpoint)}`);
      return short(o.call);
    }
    case 'set':
      return isObject(o.set) ? short(Object.keys(o.set).join(', ')) : short(o.set);
    case 'for':
      return short(`$${typeof within('for').each === 'string' ? String(within('for').each).replace(/^\$/, '') : 'item'}: ${short(within('for').in)}`);
    case 'wait':
      return durationText(o.wait);
    case 'raise': {
      const e = within('raise').error;
      return isObject(e) ? short(e.title ?? e.type) : short(e);
    }
    case 'emit': {
      const e = within('emit').event;
      return isObject(e) && isObject(e.with) ? short(e.with.type) : '';
    }
    case 'listen':
      return eventTypes(within('listen').to);
    case 'run': {
      const [[what, how] = []] = Object.entries(within('run'));
      if (what === undefined) return '';
      if (!isObject(how)) return what;
      return short(`${what} ${short(how.name ?? how.image ?? how.command ?? how.language ?? '', 70)}`);
    }
    default:
      return '';
  }
}
