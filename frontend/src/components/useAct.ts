import { App } from 'antd';
import { useMutation, useQueryClient, type QueryKey } from '@tanstack/react-query';
import { createElement } from 'react';
import { useProblemText } from './base';

interface Options<V, R> {
  run: (v: V) => Promise<R>;
  /** Said when it worked. */
  done?: string | ((r: R, v: V) => string);
  /** What it made stale. */
  stale?: QueryKey[];
  then?: (r: R, v: V) => void;
  /** The form shows the problem itself. */
  quiet?: boolean;
}

/** A change: says that it worked, or what was wrong and what to do; refreshes what it made stale. */
export function useAct<V = void, R = unknown>(o: Options<V, R>) {
  const client = useQueryClient();
  const { message, notification } = App.useApp();
  const text = useProblemText();
  return useMutation<R, unknown, V>({
    mutationFn: o.run,
    onSuccess: (r, v) => {
      for (const queryKey of o.stale ?? []) void client.invalidateQueries({ queryKey });
      const said = typeof o.done === 'function' ? o.done(r, v) : o.done;
      if (said) void message.success(said);
      o.then?.(r, v);
    },
    onError: (e) => {
      if (o.quiet) return;
      const { title, detail, code } = text(e);
      notification.error({
        title,
        description: createElement('div', null, detail, code ? createElement('div', { className: 'faint mono' }, code) : null),
        duration: 8,
        role: 'alert',
      });
    },
  });
}
