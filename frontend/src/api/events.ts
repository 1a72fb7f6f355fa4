/**
 * The portal's one live connection. A browser allows six connections to a host over HTTP/1.1, so tabs share one: the
 * tab that holds the lock listens and tells the others.
 */
import type { QueryClient } from '@tanstack/react-query';
import { BASE } from './client';
import { openStream, type StreamState } from './sse';

export interface CloudEvent {
  id: string;
  type: string;
  source: string;
  subject?: string;
  time: string;
  data?: unknown;
}

type Listener = (e: CloudEvent) => void;
const listeners = new Set<Listener>();
const stateListeners = new Set<() => void>();
let state: StreamState = 'connecting';

export function onEvent(f: Listener): () => void {
  listeners.add(f);
  return () => listeners.delete(f);
}

export const liveState = {
  get: () => state,
  subscribe: (f: () => void) => {
    stateListeners.add(f);
    return () => stateListeners.delete(f);
  },
};

function setState(s: StreamState) {
  if (s === state) return;
  state = s;
  stateListeners.forEach((f) => f());
}

/** Which cached queries an event makes stale, by the first parts of their keys. */
export function staleKeys(e: Pick<CloudEvent, 'type' | 'subject'>): string[][] {
  const [, domain] = e.type.split('.');
  switch (domain) {
    case 'cmdb':
      return [['cmdb']];
    case 'node':
      return [['nodes'], ['home']];
    case 'job':
      return [['jobs'], ['home']];
    case 'workflow':
      return [['workflows'], ['runs'], ['schedules'], ['home']];
    case 'plugin':
      return [['plugins'], ['catalog'], ['workflows'], ['actions'], ['home']];
    case 'notification':
      return [['notifications']];
    case 'access':
      return [['users'], ['tokens'], ['audit']];
    default:
      return [];
  }
}

/** Listens until the returned function is called; invalidations are gathered, a burst of events is one refetch. */
export function startLive(client: QueryClient): () => void {
  const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('plenum.events');
  const pending = new Map<string, string[]>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  let close: (() => void) | undefined;
  let wasDown = false;
  let flushed = 0;

  const deliver = (e: CloudEvent) => {
    listeners.forEach((f) => f(e));
    for (const key of staleKeys(e)) pending.set(key.join('/'), key);
    // The first event shows at once; a storm of them is one reading a second, so that answers have time to arrive.
    timer ??= setTimeout(() => {
      timer = undefined;
      flushed = Date.now();
      const keys = [...pending.values()];
      pending.clear();
      for (const queryKey of keys) void client.invalidateQueries({ queryKey });
    }, Date.now() - flushed < 2000 ? 1000 : 150);
  };
  const heardState = (s: StreamState) => {
    setState(s);
    if (s === 'waiting') wasDown = true;
    if (s === 'open' && wasDown) {
      wasDown = false;
      // What happened meanwhile may have been more than the stream replays.
      void client.invalidateQueries();
    }
  };

  channel?.addEventListener('message', (m: MessageEvent<{ event?: CloudEvent; state?: StreamState; ask?: boolean }>) => {
    if (m.data.event) deliver(m.data.event);
    if (m.data.state) heardState(m.data.state);
    if (m.data.ask && close) channel.postMessage({ state });
  });

  const lead = () => {
    close = openStream({
      url: `${BASE}/events/stream`,
      onState: (s) => {
        heardState(s);
        channel?.postMessage({ state: s });
      },
      onMessage: (m) => {
        try {
          const event = JSON.parse(m.data) as CloudEvent;
          if (typeof event.type !== 'string') return;
          deliver(event);
          channel?.postMessage({ event });
        } catch {
          // A keep-alive or something newer than this portal.
        }
      },
    });
  };

  let release: (() => void) | undefined;
  const abort = new AbortController();
  if (channel && navigator.locks) {
    channel.postMessage({ ask: true });
    navigator.locks
      .request('plenum.events', { signal: abort.signal }, () =>
        stopped
          ? undefined
          : new Promise<void>((resolve) => {
              release = resolve;
              lead();
            }),
      )
      .catch(() => {});
  } else {
    lead();
  }

  return () => {
    stopped = true;
    clearTimeout(timer);
    close?.();
    release?.();
    abort.abort();
    channel?.close();
  };
}
