/**
 * Changes of a definition's text, made on its YAML document: comments, order and the way it is written stay. Each takes a text and
 * gives a text, so that undoing is keeping the old one.
 */
import { isMap, isScalar, isSeq, parseDocument, Scalar, YAMLMap, type Document, type Node, type Pair, type YAMLSeq } from 'yaml';
import type { Json } from '../../../api/types';
import { isObject } from '../../../components/SchemaForm';
import { step } from '../canvas/graph';

export class CannotEdit extends Error {}

export interface Edited {
  source: string;
  /** Where the task that was changed stands now. */
  pointer: string | null;
}

export const partsOf = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((p) => p.replace(/~1/g, '/').replace(/~0/g, '~'));

type Doc = Document.Parsed;

function read(source: string): Doc {
  const doc = parseDocument(source, { logLevel: 'silent' });
  if (doc.errors[0]) throw new CannotEdit(doc.errors[0].message);
  if (doc.contents === null) doc.contents = new YAMLMap() as never;
  return doc;
}

/** As it was written: the habits of the text are read off it. */
function write(doc: Doc, source: string): string {
  if (/^\s*[{[]/.test(source)) {
    const json = tryJson(source);
    if (json !== undefined) return `${JSON.stringify(doc.toJS(), null, 2)}\n`;
  }
  return aligned(doc.toString(habits(source)), source);
}

/** Comments that stood in a column stand there again: the writer puts them one space behind. */
function aligned(text: string, source: string): string {
  const key = (line: string) => line.replace(/(\S) {2,}#/, '$1 #');
  const lines = source.split('\n');
  const there = new Set(lines);
  const moved = new Map(lines.filter((l) => key(l) !== l).map((l) => [key(l), l]));
  if (moved.size === 0) return text;
  return text
    .split('\n')
    .map((l) => (there.has(l) ? l : (moved.get(l) ?? l)))
    .join('\n');
}

export function habits(source: string) {
  const indented = /:[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*( *)- /.exec(source);
  const key = indented ? /(?:^|\n)( *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?$/.exec(source.slice(0, indented.index + 1)) : null;
  const nested = /(?:^|\n)( *(?:- )*)[^\s#-][^\n]*:[ \t]*\n( +)[^\s#-]/.exec(source);
  const indent = nested ? (nested[2]?.length ?? 0) - (nested[1]?.length ?? 0) : 2;
  return {
    lineWidth: 0,
    indent: indent === 4 ? 4 : 2,
    indentSeq: indented && key ? (indented[1]?.length ?? 0) > (key[1]?.length ?? 0) : true,
    flowCollectionPadding: !/\{\S/.test(source) || /\{ /.test(source),
  };
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function at(doc: Doc, pointer: string): Node | null {
  let node = doc.contents as Node | null;
  for (const part of partsOf(pointer)) {
    if (isMap(node)) node = (node.get(part, true) ?? null) as Node | null;
    else if (isSeq(node)) node = (node.get(Number(part), true) ?? null) as Node | null;
    else return null;
  }
  return node;
}

/** The list that a task stands in, and its place there. */
export function placeOf(pointer: string): { list: string; index: number; name: string } | null {
  const parts = partsOf(pointer);
  const name = parts.at(-1);
  const index = Number(parts.at(-2));
  if (name === undefined || !Number.isInteger(index) || parts.length < 3) return null;
  return { list: pointer.split('/').slice(0, -2).join('/'), index, name };
}

function listAt(doc: Doc, pointer: string, make = false): YAMLSeq {
  const node = at(doc, pointer);
  if (isSeq(node)) return node;
  if (make && (node === null || (isScalar(node) && node.value === null))) {
    const seq = doc.createNode([]) as YAMLSeq;
    doc.setIn(partsOf(pointer), seq);
    return seq;
  }
  throw new CannotEdit(`${pointer} is no list of tasks`);
}

const nameOf = (item: unknown): string | null => {
  const pair = isMap(item) ? item.items[0] : undefined;
  return pair ? String(isScalar(pair.key) ? pair.key.value : pair.key) : null;
};

export function freeName(wanted: string, taken: Iterable<string>): string {
  const names = new Set(taken);
  const base = wanted.replace(/[^\p{L}\p{N}_-]+/gu, '-').replace(/^-+|-+$/g, '') || 'task';
  if (!names.has(base)) return base;
  for (let n = 2; ; n += 1) if (!names.has(`${base}-${n}`)) return `${base}-${n}`;
}

const namesIn = (seq: YAMLSeq) => seq.items.flatMap((i) => nameOf(i) ?? []);

function put(seq: YAMLSeq, index: number, item: unknown) {
  // An empty `[]` becomes a list of lines.
  if (seq.items.length === 0) seq.flow = false;
  seq.items.splice(Math.max(0, Math.min(index, seq.items.length)), 0, item as never);
}

export function addTask(source: string, list: string, index: number, wanted: string, body: Json): Edited {
  const doc = read(source);
  const seq = listAt(doc, list, true);
  const name = freeName(wanted, namesIn(seq));
  const place = Math.max(0, Math.min(index, seq.items.length));
  put(seq, place, doc.createNode({ [name]: body }));
  return { source: write(doc, source), pointer: step(`${list}/${place}`, name) };
}

export function removeTask(source: string, pointer: string): Edited {
  const doc = read(source);
  const place = placeOf(pointer);
  if (!place) throw new CannotEdit(`${pointer} is not in a list`);
  const seq = listAt(doc, place.list);
  const [gone] = seq.items.splice(place.index, 1);
  // What stood over the first one, stands over the list.
  if (place.index === 0 && isMap(gone) && gone.commentBefore && isMap(seq.items[0])) seq.items[0].commentBefore ??= gone.commentBefore;
  const next = seq.items[Math.min(place.index, seq.items.length - 1)];
  const name = nameOf(next);
  return { source: write(doc, source), pointer: name === null ? null : step(`${place.list}/${Math.min(place.index, seq.items.length - 1)}`, name) };
}

export function duplicateTask(source: string, pointer: string): Edited {
  const doc = read(source);
  const place = placeOf(pointer);
  if (!place) throw new CannotEdit(`${pointer} is not in a list`);
  const seq = listAt(doc, place.list);
  const item = seq.items[place.index];
  if (!isMap(item)) throw new CannotEdit(`${pointer} is no task`);
  const copy = item.clone() as YAMLMap;
  const name = freeName(place.name, namesIn(seq));
  const pair = copy.items[0];
  if (pair) pair.key = new Scalar(name);
  put(seq, place.index + 1, copy);
  return { source: write(doc, source), pointer: step(`${place.list}/${place.index + 1}`, name) };
}

/** `index` counts in the list as it is before the move. */
export function moveTask(source: string, pointer: string, list: string, index: number): Edited {
  if (list === pointer || list.startsWith(`${pointer}/`)) throw new CannotEdit('a task cannot be moved into itself');
  const doc = read(source);
  const place = placeOf(pointer);
  if (!place) throw new CannotEdit(`${pointer} is not in a list`);
  const from = listAt(doc, place.list);
  const to = listAt(doc, list, true);
  const item = from.items[place.index];
  const pair = isMap(item) ? item.items[0] : undefined;
  if (!pair) throw new CannotEdit(`${pointer} is no task`);
  const target = from === to && index > place.index ? index - 1 : index;
  from.items.splice(place.index, 1);
  const name = from === to ? place.name : freeName(place.name, namesIn(to));
  if (name !== place.name) pair.key = new Scalar(name);
  const landed = Math.max(0, Math.min(target, to.items.length));
  put(to, landed, item);
  // Taking it out of the list around the target moves the target up.
  const text = write(doc, source);
  const shifted = list.startsWith(`${place.list}/`) ? shift(list, place.list, place.index) : list;
  return { source: text, pointer: step(`${shifted}/${landed}`, name) };
}

function shift(pointer: string, list: string, removed: number): string {
  const rest = pointer.slice(list.length + 1).split('/');
  const n = Number(rest[0]);
  return n > removed ? `${list}/${[String(n - 1), ...rest.slice(1)].join('/')}` : pointer;
}

/** Another name; what leads to it in its list follows. */
export function renameTask(source: string, pointer: string, wanted: string): Edited {
  const doc = read(source);
  const place = placeOf(pointer);
  if (!place) throw new CannotEdit(`${pointer} is not in a list`);
  const seq = listAt(doc, place.list);
  const item = seq.items[place.index];
  const pair = isMap(item) ? item.items[0] : undefined;
  if (!pair) throw new CannotEdit(`${pointer} is no task`);
  const name = freeName(wanted, namesIn(seq).filter((n) => n !== place.name));
  if (isScalar(pair.key)) pair.key.value = name;
  else pair.key = new Scalar(name);
  const follow = (map: unknown) => {
    if (!isMap(map)) return;
    const then = map.get('then', true);
    if (isScalar(then) && then.value === place.name) then.value = name;
  };
  for (const i of seq.items) {
    const body = isMap(i) ? (i.items[0] as Pair | undefined)?.value : undefined;
    follow(body);
    const cases = isMap(body) ? body.get('switch', true) : undefined;
    if (isSeq(cases)) for (const c of cases.items) follow(isMap(c) ? (c.items[0] as Pair | undefined)?.value : undefined);
  }
  return { source: write(doc, source), pointer: step(`${place.list}/${place.index}`, name) };
}

/** Sets or, for undefined, takes away a value of a task; what becomes empty around it goes too. */
export function setValue(source: string, pointer: string, path: string[], value: Json | undefined): Edited {
  const doc = read(source);
  const full = [...partsOf(pointer), ...path];
  if (value === undefined) {
    doc.deleteIn(full);
    for (let n = path.length - 1; n > 0; n -= 1) {
      const around = [...partsOf(pointer), ...path.slice(0, n)];
      const node = doc.getIn(around, true);
      if (!isMap(node) || node.items.length > 0) break;
      doc.deleteIn(around);
    }
  } else {
    const before = doc.hasIn(full) ? (doc.getIn(full, true) as Node | undefined) : undefined;
    // Only what is different is written anew, so that comments within stay.
    if (!merge(doc, before, value)) {
      for (let n = 1; n < path.length; n += 1) {
        const around = [...partsOf(pointer), ...path.slice(0, n)];
        if (!isMap(doc.getIn(around, true))) doc.setIn(around, doc.createNode({}));
      }
      doc.setIn(full, nodeOf(doc, value, before));
    }
  }
  if (value !== undefined && manyLines(value)) {
    // Lines are lines only in a block; within braces they would be one long quoted text.
    for (let n = partsOf(pointer).length - 1; n <= full.length; n += 1) {
      const around = doc.getIn(full.slice(0, n), true);
      if (isMap(around) || isSeq(around)) around.flow = false;
    }
  }
  return { source: write(doc, source), pointer };
}

const manyLines = (v: Json): boolean => (typeof v === 'string' ? v.includes('\n') : v !== null && typeof v === 'object' && Object.values(v).some((x) => manyLines(x as Json)));

function nodeOf(doc: Doc, value: Json, before: Node | null | undefined): Node {
  const node = doc.createNode(value) as Node;
  if (isScalar(before) && isScalar(node)) {
    node.comment = before.comment;
    node.commentBefore = before.commentBefore;
    if (typeof before.value === typeof node.value) node.type = before.type;
  }
  if (isScalar(node) && typeof node.value === 'string' && node.value.includes('\n')) node.type = 'BLOCK_LITERAL';
  return node;
}

/** Makes `node` say `value`, changing as little as can be; false when it has to be replaced. */
function merge(doc: Doc, node: Node | null | undefined, value: Json): boolean {
  if (isMap(node) && isObject(value)) {
    for (const pair of [...node.items]) {
      const key = String(isScalar(pair.key) ? pair.key.value : pair.key);
      if (!(key in value)) node.delete(key);
    }
    for (const [k, v] of Object.entries(value)) {
      const old = node.get(k, true) as Node | undefined;
      if (!merge(doc, old, v)) node.set(k, nodeOf(doc, v, old));
    }
    return true;
  }
  if (isSeq(node) && Array.isArray(value) && node.items.length === value.length) {
    value.forEach((v, i) => {
      const old = node.items[i] as Node | undefined;
      if (!merge(doc, old, v)) node.items[i] = nodeOf(doc, v, old);
    });
    return true;
  }
  return isScalar(node) && node.value === value;
}

/** The value of a task, as data. */
export function valueAt(source: string, pointer: string): Json | undefined {
  try {
    const node = at(read(source), pointer);
    return node === null ? undefined : ((node as unknown as { toJS(doc: Doc): Json }).toJS(read(source)) as Json);
  } catch {
    return undefined;
  }
}
