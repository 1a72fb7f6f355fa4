import type { Task } from '../../api/types';

export interface TaskNode {
  task: Task;
  depth: number;
  children: TaskNode[];
  /** Which round of a loop this is, from its path. */
  round: number | null;
}

/** The round of the loop whose list the task stands in: `/do/1/hosts[3]/do/0/check` is in round 3. */
export function roundOf(path: string): number | null {
  const m = /\[(\d+)\]\/do\/\d+\/[^/]+$/.exec(path);
  return m ? Number(m[1]) : null;
}

/** Tasks below what contains them, in the order of beginning. */
export function taskTree(tasks: Task[]): TaskNode[] {
  const nodes = new Map<number, TaskNode>();
  const roots: TaskNode[] = [];
  for (const task of [...tasks].sort((a, b) => a.id - b.id)) {
    const parent = task.parent === null ? undefined : nodes.get(task.parent);
    const node: TaskNode = { task, depth: parent ? parent.depth + 1 : 0, children: [], round: roundOf(task.path) };
    nodes.set(task.id, node);
    (parent?.children ?? roots).push(node);
  }
  return roots;
}

/** The rows that show, given which groups are folded. */
export function visible(nodes: TaskNode[], folded: Set<number>): TaskNode[] {
  return nodes.flatMap((n) => (folded.has(n.task.id) ? [n] : [n, ...visible(n.children, folded)]));
}
