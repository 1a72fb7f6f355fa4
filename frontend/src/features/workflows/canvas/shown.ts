/** What the boxes of a drawing know besides their definition: states of a run, problems, differences. */
import { createContext } from 'react';
import type { TaskStatus } from '../../../api/types';
import type { Tone } from '../../../components/base';
import type { Graph } from './graph';

/** Where a task stands in a run, over all of its executions that count. */
export interface NodeState {
  status: TaskStatus;
  /** Executions. */
  count: number;
  failed: number;
  attempt: number;
  waiting: string | null;
  ms: number | null;
  since: string;
  finished: string | null;
}

/** Which round of a loop is shown, of how many. */
export interface Round {
  at: number;
  total: number;
}

export type Change = 'added' | 'removed' | 'changed';

export interface Shown {
  graph: Graph;
  states: ReadonlyMap<string, NodeState> | null;
  problems: ReadonlyMap<string, string[]> | null;
  changes: ReadonlyMap<string, Change> | null;
  rounds: ReadonlyMap<string, Round> | null;
  folded: ReadonlySet<string>;
  selected: string | null;
  onPick: (id: string) => void;
  onFold: (id: string) => void;
  onRound: (id: string, at: number) => void;
  onKey: (id: string, e: React.KeyboardEvent) => void;
}

export const ShownContext = createContext<Shown | null>(null);

export const changeTone: Record<Change, Tone> = { added: 'ok', removed: 'bad', changed: 'warn' };
