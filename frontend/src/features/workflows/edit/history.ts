import { useCallback, useReducer } from 'react';

interface State {
  past: string[];
  now: string;
  future: string[];
  /** When the text was last typed in, to make one step of what is typed in one go. */
  typed: number;
  /** Counts what came from elsewhere than the form, so that the form is made anew then. */
  epoch: number;
}

type Act = { do: 'set'; value: string; typed: boolean; at: number } | { do: 'undo' } | { do: 'redo' } | { do: 'begin'; value: string };

const MOST = 200;
const ONE_GO = 1000;

export function steps(s: State, a: Act): State {
  switch (a.do) {
    case 'begin':
      return { past: [], now: a.value, future: [], typed: 0, epoch: s.epoch + 1 };
    case 'set': {
      if (a.value === s.now) return s;
      const joined = a.typed && a.at - s.typed < ONE_GO;
      return { past: joined ? s.past : [...s.past, s.now].slice(-MOST), now: a.value, future: [], typed: a.typed ? a.at : 0, epoch: s.epoch + (a.typed ? 1 : 0) };
    }
    case 'undo': {
      const before = s.past.at(-1);
      return before === undefined ? s : { past: s.past.slice(0, -1), now: before, future: [s.now, ...s.future], typed: 0, epoch: s.epoch + 1 };
    }
    case 'redo': {
      const [next, ...future] = s.future;
      return next === undefined ? s : { past: [...s.past, s.now], now: next, future, typed: 0, epoch: s.epoch + 1 };
    }
  }
}

/** A text that can be undone and redone, whether it was typed or changed on the drawing. */
export function useTextHistory(first: string) {
  const [s, dispatch] = useReducer(steps, { past: [], now: first, future: [], typed: 0, epoch: 0 });
  return {
    text: s.now,
    epoch: s.epoch,
    set: useCallback((value: string) => dispatch({ do: 'set', value, typed: false, at: Date.now() }), []),
    type: useCallback((value: string) => dispatch({ do: 'set', value, typed: true, at: Date.now() }), []),
    undo: useCallback(() => dispatch({ do: 'undo' }), []),
    redo: useCallback(() => dispatch({ do: 'redo' }), []),
    canUndo: s.past.length > 0,
    canRedo: s.future.length > 0,
  };
}
