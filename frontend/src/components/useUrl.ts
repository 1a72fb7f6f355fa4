import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback } from 'react';

export type UrlState = Record<string, string | undefined>;

/** State that lives in the URL's query, so that what one sees can be shared. */
export function useUrl(): [UrlState, (patch: UrlState, push?: boolean) => void] {
  const search = useSearch({ strict: false }) as UrlState;
  const navigate = useNavigate();
  const set = useCallback(
    (patch: UrlState, push = false) => {
      void navigate({
        to: '.',
        search: ((old: UrlState) => {
          const next: UrlState = { ...old, ...patch };
          for (const k of Object.keys(next)) if (!next[k]) delete next[k];
          return next;
        }) as never,
        replace: !push,
      });
    },
    [navigate],
  );
  return [search, set];
}
