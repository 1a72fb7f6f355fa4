import { QueryClient } from '@tanstack/react-query';
import { Problem } from './client';

/** What the pages read and change, with the rules that hold for all of them. */
export const makeQueries = () =>
  new QueryClient({
    defaultOptions: {
      queries: {
        // A browser that believes to be offline says nothing of a host on its own machine or network: asking tells, waiting would be for ever.
        networkMode: 'always',
        staleTime: 5_000,
        refetchOnWindowFocus: true,
        // What the host refused it will refuse again; only what may pass is tried once more.
        retry: (count, error) => count < 2 && (!(error instanceof Problem) || error.status === 0 || error.status >= 502),
        retryDelay: (n) => 400 * 2 ** n,
      },
      mutations: { networkMode: 'always', retry: false },
    },
  });
