/**
 * Server-sent events over fetch. EventSource would give up for good at the first answer that is not 200 (a host that
 * restarts behind a proxy) and cannot say where a new connection should go on.
 */
export interface SseMessage {
  id: string;
  event: string;
  data: string;
}

/** Splits a stream into messages; keeps what is incomplete. */
export class SseParser {
  private buffer = '';
  private id = '';
  private event = '';
  private data: string[] = [];
  private readonly onMessage: (m: SseMessage) => void;

  constructor(onMessage: (m: SseMessage) => void) {
    this.onMessage = onMessage;
  }

  push(chunk: string): void {
    this.buffer += chunk;
    for (;;) {
      const end = this.buffer.search(/\r\n|\n|\r/);
      if (end < 0) return;
      // A lone CR at the very end may be the first half of CRLF.
      if (this.buffer[end] === '\r' && end === this.buffer.length - 1) return;
      const line = this.buffer.slice(0, end);
      this.buffer = this.buffer.slice(end + (this.buffer.startsWith('\r\n', end) ? 2 : 1));
      this.line(line);
    }
  }

  private line(line: string): void {
    if (line === '') {
      if (this.data.length > 0) this.onMessage({ id: this.id, event: this.event || 'message', data: this.data.join('\n') });
      this.event = '';
      this.data = [];
      return;
    }
    if (line.startsWith(':')) return;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.data.push(value);
    else if (field === 'event') this.event = value;
    else if (field === 'id') this.id = value;
  }
}

export type StreamState = 'connecting' | 'open' | 'waiting' | 'closed';

export interface StreamOptions {
  url: string;
  onMessage: (m: SseMessage) => void;
  onState?: (s: StreamState, status?: number) => void;
  /** The id after which to start. */
  after?: string;
  /** Whether an end of the stream is final. */
  once?: boolean;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;

/** Opens a stream and keeps it open until the returned function is called; goes on after the last id it saw. */
export function openStream(o: StreamOptions): () => void {
  const abort = new AbortController();
  let lastId = o.after ?? '';
  let wait = FIRST_RETRY_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const again = (status?: number) => {
    if (abort.signal.aborted) return;
    o.onState?.('waiting', status);
    timer = setTimeout(run, wait);
    wait = Math.min(wait * 2, LAST_RETRY_MS);
  };

  const run = async () => {
    o.onState?.('connecting');
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' };
      if (lastId) headers['last-event-id'] = lastId;
      const response = await fetch(o.url, { headers, signal: abort.signal, credentials: 'same-origin', cache: 'no-store' });
      if (!response.ok || !response.body) {
        // Signed out or forbidden: trying again changes nothing.
        if ([401, 403, 404].includes(response.status)) o.onState?.('closed', response.status);
        else again(response.status);
        return;
      }
      o.onState?.('open');
      wait = FIRST_RETRY_MS;
      const parser = new SseParser((m) => {
        if (m.id) lastId = m.id;
        o.onMessage(m);
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        parser.push(value);
      }
      if (o.once) o.onState?.('closed');
      else again();
    } catch {
      again();
    }
  };
  void run();
  return () => {
    abort.abort();
    clearTimeout(timer);
  };
}
