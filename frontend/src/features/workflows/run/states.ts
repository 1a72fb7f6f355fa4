/** What the drawing says of a run: of each task where it stands, in the rounds of the loops that are chosen. */
import type { Task, TaskStatus } from '../../../api/types';
import type { Graph } from '../canvas/graph';
import type { NodeState, Round } from '../canvas/shown';

/** The loops (and repeated attempts) that an execution stands in, outermost first: pointer of the loop and the round, from 0. */
export function roundsOf(task: Pick<Task, 'path' | 'pointer'>): { loop: string; at: number }[] {
  const pointer = task.pointer.split('/');
  const path = task.path.split('/');
  const out: { loop: string; at: number }[] = [];
  // From the end: a function stands elsewhere in the definition than where it is called, so only the common end can be matched.
  for (let back = 1; back <= pointer.length && back <= path.length; back += 1) {
    const own = pointer[pointer.length - back] ?? '';
    const there = path[path.length - back] ?? '';
    if (own === there) continue;
    const m = /^(.*)\[(\d+)\]$/.exec(there);
    if (!m || m[1] !== own) break;
    const at = pointer.slice(0, pointer.length - back + 1).join('/');
    // `/try[2]` is the second attempt of the task around it; a loop counts from 0.
    if (own === 'try') out.push({ loop: at.slice(0, -'/try'.length), at: Number(m[2]) - 1 });
    else out.push({ loop: at, at: Number(m[2]) });
  }
  return out.reverse();
}

export interface RunPicture {
  states: Map<string, NodeState>;
  rounds: Map<string, Round>;
  /** The executions that are shown at a task, oldest first. */
  shown: Map<string, Task[]>;
}

const LIVE = new Set<TaskStatus>(['running', 'waiting', 'pending']);

export function pictureOf(tasks: Task[], graph: Graph, chosen: ReadonlyMap<string, number>): RunPicture {
  let left = tasks.map((task) => ({ task, in: roundsOf(task) }));
  const rounds = new Map<string, Round>();
  const failing = new Map<string, number>();
  // The map of nodes reads from the outside in, so that an inner loop's rounds are those within the chosen outer one.
  for (const node of graph.nodes.values()) {
    if (node.kind !== 'for' && node.kind !== 'try' && node.kind !== 'listen') continue;
    const first = node.kind === 'try' ? `${node.id}/try/` : `${node.id}/`;
    const within = left.filter((e) => e.task.pointer.startsWith(first));
    if (within.length === 0) continue;
    const at = (e: (typeof left)[number]) => e.in.find((r) => r.loop === node.id)?.at ?? 0;
    let last = 0;
    const failed = new Set<number>();
    for (const e of within) {
      last = Math.max(last, at(e));
      // What a `try` within may have caught does not count; if it did not catch it, it has failed itself.
      if (e.task.status === 'failed' && !/\/try\/\d/.test(e.task.pointer.slice(first.length))) failed.add(at(e));
    }
    const total = last + 1;
    const now = Math.min(chosen.get(node.id) ?? last, last);
    rounds.set(node.id, { at: now, total });
    if (node.kind !== 'try') failing.set(node.id, failed.size);
    if (total > 1) left = left.filter((e) => !e.task.pointer.startsWith(first) || at(e) === now);
  }
  const shown = new Map<string, Task[]>();
  for (const { task } of left) {
    const known = shown.get(task.pointer);
    if (known) known.push(task);
    else shown.set(task.pointer, [task]);
  }
  const states = new Map<string, NodeState>();
  for (const [pointer, all] of shown) {
    all.sort((a, b) => a.id - b.id);
    const last = all.at(-1);
    if (!last) continue;
    states.set(pointer, {
      status: last.status,
      count: all.length,
      failed: all.filter((x) => x.status === 'failed').length,
      attempt: last.attempt,
      waiting: last.waiting?.reason ?? null,
      ms: last.duration_ms,
      since: last.started_at,
      finished: last.finished_at,
    });
  }
  for (const [loop, failed] of failing) {
    const s = states.get(loop);
    const r = rounds.get(loop);
    if (s && r) states.set(loop, { ...s, count: Math.max(s.count, r.total), failed });
  }
  // What catches is no task of its own: it stands as its tasks do.
  for (const node of graph.nodes.values()) {
    if (node.kind !== 'catch' && node.kind !== 'function') continue;
    const inside = [...states].filter(([p]) => (node.kind === 'catch' ? p.startsWith(`${node.id}/`) : node.lists.some((l) => p.startsWith(l.pointer))));
    const of = inside.map(([, s]) => s);
    const first = of.find((s) => LIVE.has(s.status)) ?? of.find((s) => s.status === 'failed') ?? of.at(-1);
    if (first) states.set(node.id, { ...first, count: 1, failed: 0, finished: null });
  }
  return { states, rounds, shown };
}
