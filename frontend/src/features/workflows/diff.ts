/** What is different between two texts of a workflow: line by line, and task by task. */
import type { Json } from '../../api/types';
import { isObject, type Obj } from '../../components/SchemaForm';
import { readDefinition, toGraph, type Graph } from './canvas/graph';
import type { Change } from './canvas/shown';
import { partsOf } from './edit/edits';

export interface DiffLine {
  kind: 'same' | 'gone' | 'come';
  text: string;
  /** Line numbers, from 1. */
  before: number | null;
  after: number | null;
}

/** Above this many comparisons what is between the common ends counts as replaced. */
const MOST = 4_000_000;

export function diffLines(before: string, after: string): DiffLine[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const out: DiffLine[] = [];
  const same = (i: number, j: number) => out.push({ kind: 'same', text: a[i] ?? '', before: i + 1, after: j + 1 });
  const gone = (i: number) => out.push({ kind: 'gone', text: a[i] ?? '', before: i + 1, after: null });
  const come = (j: number) => out.push({ kind: 'come', text: b[j] ?? '', before: null, after: j + 1 });
  for (let i = 0; i < head; i += 1) same(i, i);
  const [n, m] = [a.length - head - tail, b.length - head - tail];
  if (n * m > MOST) {
    for (let i = 0; i < n; i += 1) gone(head + i);
    for (let j = 0; j < m; j += 1) come(head + j);
  } else {
    // The longest common part of what is left, by the usual table.
    const width = m + 1;
    const table = new Uint32Array((n + 1) * width);
    const at = (i: number, j: number) => table[i * width + j] ?? 0;
    for (let i = n - 1; i >= 0; i -= 1) {
      for (let j = m - 1; j >= 0; j -= 1) table[i * width + j] = a[head + i] === b[head + j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
    let [i, j] = [0, 0];
    while (i < n || j < m) {
      if (i < n && j < m && a[head + i] === b[head + j]) {
        same(head + i, head + j);
        i += 1;
        j += 1;
      } else if (i < n && (j >= m || at(i + 1, j) >= at(i, j + 1))) gone(head + i++);
      else come(head + j++);
    }
  }
  for (let k = tail; k > 0; k -= 1) same(a.length - k, b.length - k);
  return out;
}

/** Only what changed, with some lines around it; a gap is null. */
export function folded(lines: DiffLine[], around = 3): (DiffLine | null)[] {
  const near = new Array<boolean>(lines.length).fill(false);
  lines.forEach((l, i) => {
    if (l.kind !== 'same') for (let k = Math.max(0, i - around); k <= Math.min(lines.length - 1, i + around); k += 1) near[k] = true;
  });
  return lines.flatMap((l, i) => (near[i] ? [l] : i === 0 || near[i - 1] ? [null] : []));
}

const NESTED = new Set(['do', 'try', 'foreach']);

/** A task without what is within it: that is compared by itself. */
function own(task: Json | undefined): string {
  if (!isObject(task)) return JSON.stringify(task ?? null);
  const rest: Obj = {};
  for (const [k, v] of Object.entries(task)) {
    if (NESTED.has(k)) continue;
    if (k === 'fork' && isObject(v)) rest.fork = { ...v, branches: [] };
    else if (k === 'catch' && isObject(v)) rest.catch = { ...v, do: [] };
    else rest[k] = v;
  }
  return JSON.stringify(rest);
}

/** A task by the names of what it is in: its place in a list may change without it being another. */
const nameOf = (pointer: string) => pointer.replace(/\/\d+(?=\/)/g, '');

function at(value: Json, pointer: string): Json | undefined {
  let v: Json | undefined = value;
  for (const part of partsOf(pointer)) v = Array.isArray(v) ? v[Number(part)] : isObject(v) ? v[part] : undefined;
  return v;
}

const tasksOf = (value: Json, graph: Graph) => new Map([...graph.nodes.values()].filter((n) => n.name && !n.id.includes('#')).map((n) => [nameOf(n.id), { id: n.id, name: n.name, own: own(at(value, n.id)) }]));

/** The newer one as a drawing, with what was added and changed; what was taken away has no place there and is named. */
export function compare(before: string, after: string): { graph: Graph; changes: Map<string, Change>; gone: string[] } {
  const [old, now] = [readDefinition(before).value, readDefinition(after)];
  const graph = toGraph(now.value, now.broken);
  const [was, is] = [tasksOf(old, toGraph(old)), tasksOf(now.value, graph)];
  const changes = new Map<string, Change>();
  for (const [key, t] of is) {
    const o = was.get(key);
    if (!o) changes.set(t.id, 'added');
    else if (o.own !== t.own) changes.set(t.id, 'changed');
  }
  return { graph, changes, gone: [...was].filter(([key]) => !is.has(key)).map(([, t]) => t.name) };
}
