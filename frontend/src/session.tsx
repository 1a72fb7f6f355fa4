import { createContext, useContext } from 'react';
import type { Session } from './api/types';

const Ctx = createContext<Session | null>(null);
export const SessionProvider = Ctx.Provider;

export function useSession(): Session {
  const s = useContext(Ctx);
  if (!s) throw new Error('useSession outside SessionProvider');
  return s;
}

/** Whether the signed-in person may do this. The host decides; this only hides what it would refuse. */
export function useCan(): (permission: string) => boolean {
  const s = useSession();
  return (p) => s.permissions.includes(p);
}
