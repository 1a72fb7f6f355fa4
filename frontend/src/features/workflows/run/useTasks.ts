import { useQuery } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { api } from '../../../api/endpoints';
import type { Run, Task } from '../../../api/types';

/** Read without being asked; a run of more tasks says so, and reads on when asked. */
const FIRST = 5_000;
const FINAL = new Set(['succeeded', 'failed', 'skipped', 'cancelled']);

/** All tasks of a run: those that it carries, and those behind them. Of what was read before, only what may have changed is read again. */
export function useTasks(run: Run): { tasks: Task[]; more: boolean; reading: boolean; readOn: () => void } {
  const [most, setMost] = useState(FIRST);
  const kept = useRef({ run: run.id, tasks: new Map<number, Task>() });
  const carried = run.tasks.at(-1)?.id ?? 0;
  const behind = run.task_count > run.tasks.length;
  const rest = useQuery({
    queryKey: ['runs', 'rest', run.id, most, run.task_count],
    enabled: behind,
    placeholderData: (old) => old,
    queryFn: async () => {
      if (kept.current.run !== run.id) kept.current = { run: run.id, tasks: new Map() };
      const known = kept.current.tasks;
      let after = carried;
      for (const t of [...known.values()].sort((a, b) => a.id - b.id)) {
        if (!FINAL.has(t.status)) break;
        after = t.id;
      }
      for (;;) {
        const page = await api.runs.tasks(run.id, after);
        for (const t of page.items) known.set(t.id, t);
        if (!page.next_cursor || known.size + run.tasks.length >= most) break;
        after = Number(page.next_cursor);
      }
      return [...known.values()].filter((t) => t.id > carried).sort((a, b) => a.id - b.id);
    },
  });
  const tasks = behind && rest.data ? [...run.tasks, ...rest.data] : run.tasks;
  return { tasks, more: tasks.length < run.task_count, reading: rest.isFetching, readOn: () => setMost((n) => n + FIRST) };
}
