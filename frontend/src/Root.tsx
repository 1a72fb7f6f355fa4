import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Suspense, lazy, useEffect } from 'react';
import { Problem, whenSignedOut } from './api/client';
import { api } from './api/endpoints';
import { Loading, ProblemNote } from './components/base';
import { SessionProvider } from './session';
import { Shell } from './layout/Shell';

const Login = lazy(() => import('./features/auth/Login'));

/** Nobody signed in: the sign-in page, at whatever URL was asked for. Else the frame with the page in it. */
export function Root() {
  const client = useQueryClient();
  const session = useQuery({
    queryKey: ['session'],
    queryFn: api.session.get,
    staleTime: Infinity,
    refetchOnWindowFocus: false,
    retry: (n, e) => n < 2 && !(e instanceof Problem && e.status > 0 && e.status < 500),
  });
  useEffect(() => {
    whenSignedOut(() => void client.resetQueries({ queryKey: ['session'] }));
  }, [client]);

  if (session.isPending) return <Loading />;
  if (session.error) {
    return (
      <div style={{ padding: 24, maxWidth: 640, margin: '10vh auto' }}>
        <ProblemNote error={session.error} retry={() => void session.refetch()} />
      </div>
    );
  }
  if (session.data === null) {
    return (
      <Suspense fallback={<Loading />}>
        <Login />
      </Suspense>
    );
  }
  return (
    <SessionProvider value={session.data}>
      <Shell />
    </SessionProvider>
  );
}
