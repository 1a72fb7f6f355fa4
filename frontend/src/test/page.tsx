/** A page with all that stands around it, and a host of a few paths, for tests. */
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createMemoryHistory, createRootRoute, createRoute, createRouter, RouterProvider } from '@tanstack/react-router';
import { render } from '@testing-library/react';
import type { ReactNode } from 'react';
import { afterEach, vi } from 'vitest';
import type { Session } from '../api/types';
import { I18nProvider, type Locale } from '../i18n';
import { SessionProvider } from '../session';
import { ThemeProvider } from '../theme';

afterEach(() => vi.unstubAllGlobals());

/** What it answers: a value, a status with a problem, or nothing for "not found". */
export type Answer = (url: URL, init: RequestInit) => unknown;

export class Refusal {
  constructor(
    readonly status: number,
    readonly detail: string,
  ) {}
}

/** A host of these paths, such as `GET /cmdb/models`; what it is asked is kept. */
export function host(paths: Record<string, Answer>) {
  const asked: { method: string; url: URL; body: RequestInit['body'] }[] = [];
  vi.stubGlobal('fetch', (input: string, init: RequestInit = {}) => {
    const url = new URL(input, 'http://x');
    const method = init.method ?? 'GET';
    asked.push({ method, url, body: init.body });
    const value = paths[`${method} ${url.pathname.slice('/api/v1'.length)}`]?.(url, init) ?? new Refusal(404, 'there is none');
    const refused = value instanceof Refusal;
    return Promise.resolve(new Response(JSON.stringify(refused ? { title: 'Refused', detail: value.detail } : value), { status: refused ? value.status : 200 }));
  });
  return asked;
}

export function show(ui: ReactNode, { permissions = [], path = '/', route = '/', locale = 'en' }: { permissions?: string[]; path?: string; route?: string; locale?: Locale } = {}) {
  const root = createRootRoute();
  const page = createRoute({ getParentRoute: () => root, path: route, component: () => ui });
  const router = createRouter({ routeTree: root.addChildren([page]), history: createMemoryHistory({ initialEntries: [path] }) });
  return render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <I18nProvider locale={locale}>
        <ThemeProvider>
          <SessionProvider value={{ id: 'u', name: 'ada', display_name: 'Ada', role: 'operator', permissions } as Session}>
            <RouterProvider router={router as never} />
          </SessionProvider>
        </ThemeProvider>
      </I18nProvider>
    </QueryClientProvider>,
  );
}
