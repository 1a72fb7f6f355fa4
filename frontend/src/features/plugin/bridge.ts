/**
 * The portal's side of the bridge to a plugin's framed page.
 *
 * The page runs in a sandbox with an opaque origin: no cookies, no storage, no way to the API of its own. It asks, over
 * a MessagePort, and this side does for it what it may have: requests to its plugin's own routes, the events that its
 * plugin was granted, moving within the portal, a word to the reader, a file to save. JSON-RPC 2.0 on the port.
 */
import { pluginUrl, portalPath } from './path';
import type { CloudEvent } from '../../api/events';

export interface BridgeContext {
  user: { id: string; name: string; display_name: string; role: string };
  /** A BCP 47 tag. */
  locale: 'en' | 'zh-CN';
  theme: 'light' | 'dark';
  plugin: string;
  path: string;
  /** The portal's colours, as CSS variables. */
  tokens: Record<string, string>;
}

export interface BridgeOptions {
  frame: HTMLIFrameElement;
  plugin: string;
  base: string;
  context: () => BridgeContext;
  /** Event types that the plugin was granted; null when it may read none. */
  grantedTypes: () => string[] | null;
  onEvent: (f: (e: CloudEvent) => void) => () => void;
  navigate: (to: string) => void;
  setPath: (path: string, replace: boolean) => void;
  notify: (level: 'info' | 'success' | 'warning' | 'error', text: string) => void;
  download: (name: string, mime: string, content: string | Uint8Array<ArrayBuffer>) => void;
  fetch?: typeof fetch;
  window?: Window;
}

interface Request {
  jsonrpc?: string;
  id?: number | string | null;
  method: string;
  params?: Record<string, unknown>;
}

export class RpcError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
// What a request may say of itself. Who asks is the host's business.
const HEADERS = new Set(['accept', 'accept-language', 'content-type', 'if-match', 'if-none-match', 'range', 'idempotency-key', 'prefer']);
const MAX_IN_FLIGHT = 16;
const MAX_BODY = 8 * 1024 * 1024;
const MAX_DOWNLOAD = 64 * 1024 * 1024;

/** `plenum.job.*`, `*` or an exact type; a bare start such as `plenum.job.` counts as a start too. */
export function typeMatches(pattern: string, type: string): boolean {
  if (pattern === '*') return true;
  if (pattern.endsWith('*')) return type.startsWith(pattern.slice(0, -1));
  return pattern === type || (pattern.endsWith('.') && type.startsWith(pattern));
}

/** Whether everything that `wanted` could match lies within one of `granted`. */
export function covered(wanted: string, granted: string[]): boolean {
  const open = wanted.endsWith('*') || wanted.endsWith('.');
  const start = wanted.endsWith('*') ? wanted.slice(0, -1) : wanted;
  return granted.some((g) => (g.endsWith('*') ? start.startsWith(g.slice(0, -1)) : !open && g === wanted));
}

/** Opens the bridge for one frame; the returned object closes it and tells the page of changes. */
export function openBridge(o: BridgeOptions): { close: () => void; contextChanged: () => void; connected: () => boolean } {
  const win = o.window ?? window;
  const doFetch = o.fetch ?? fetch.bind(globalThis);
  let port: MessagePort | null = null;
  let stopEvents: (() => void) | null = null;
  const wanted = new Set<string>();
  const aborts = new Set<AbortController>();
  let lastNotice = 0;

  const post = (message: unknown) => port?.postMessage(message);

  const onMessage = (e: MessageEvent) => {
    // Only this frame, only while its document has the sandbox's opaque origin, and only its first document: a second
    // greeting would come from something that the frame was navigated to.
    if (e.source !== o.frame.contentWindow || e.source === null || e.origin !== 'null') return;
    const data = e.data as { plenum?: unknown; version?: unknown } | null;
    if (!data || data.plenum !== 'hello' || data.version !== 1 || port) return;
    const channel = new MessageChannel();
    port = channel.port1;
    port.onmessage = (m: MessageEvent) => void receive(m.data as Request);
    // An opaque origin cannot be named; the window itself is the address.
    o.frame.contentWindow?.postMessage({ plenum: 'port', version: 1, context: o.context() }, '*', [channel.port2]);
  };
  win.addEventListener('message', onMessage);

  async function receive(request: Request) {
    if (!request || typeof request !== 'object' || typeof request.method !== 'string') return;
    const { id } = request;
    try {
      const result = await dispatch(request.method, request.params ?? {});
      if (id !== undefined && id !== null) post({ jsonrpc: '2.0', id, result: result ?? null });
    } catch (e) {
      const code = e instanceof RpcError ? e.code : -32603;
      const message = e instanceof Error ? e.message : String(e);
      if (id !== undefined && id !== null) post({ jsonrpc: '2.0', id, error: { code, message } });
    }
  }

  async function dispatch(method: string, p: Record<string, unknown>): Promise<unknown> {
    switch (method) {
      case 'http':
        return request(p);
      case 'subscribe':
        return subscribe(p);
      case 'unsubscribe':
        for (const t of list(p.types)) wanted.delete(t);
        return { types: [...wanted] };
      case 'navigate': {
        const to = portalPath(p.to);
        if (to === null) throw new RpcError(-32602, '`to` is a path of the portal, such as /jobs');
        o.navigate(to);
        return null;
      }
      case 'setPath': {
         
        if (typeof p.path !== 'string' || p.path.length > 2000 || /[\\\u0000-\u001f]/.test(p.path)) throw new RpcError(-32602, '`path` is a short text such as reports/17');
        o.setPath(p.path, p.replace === true);
        return null;
      }
      case 'notify': {
        const level = ['info', 'success', 'warning', 'error'].includes(String(p.level)) ? (p.level as 'info') : 'info';
        const text = typeof p.text === 'string' ? p.text.slice(0, 500) : '';
        // A page in a loop must not bury the portal under its messages.
        const now = Date.now();
        if (!text || now - lastNotice < 200) return null;
        lastNotice = now;
        o.notify(level, text);
        return null;
      }
      case 'download':
        return download(p);
      default:
        throw new RpcError(-32601, `the bridge has no method ${method}`);
    }
  }

  async function request(p: Record<string, unknown>) {
    const url = pluginUrl(o.base, o.plugin, p.path);
    if (url === null) throw new RpcError(-32602, '`path` is a path of this plugin such as /reports/17: no other address, no `..`, no encoded slashes');
    const method = typeof p.method === 'string' ? p.method.toUpperCase() : 'GET';
    if (!METHODS.has(method)) throw new RpcError(-32602, `the method ${method} is not allowed`);
    if (aborts.size >= MAX_IN_FLIGHT) throw new RpcError(-32000, `more than ${MAX_IN_FLIGHT} requests at once; wait for some to end`);
    const headers: Record<string, string> = {};
    for (const [k, v] of Object.entries((p.headers as Record<string, unknown> | undefined) ?? {})) {
      const name = k.toLowerCase();
      const own = name.startsWith('x-') && !name.startsWith('x-plenum-') && !name.startsWith('x-forwarded-');
      if (typeof v === 'string' && (HEADERS.has(name) || own)) headers[name] = v;
    }
    let body: string | undefined;
    if (p.body !== undefined && p.body !== null && method !== 'GET' && method !== 'HEAD') {
      if (typeof p.body === 'string') body = p.body;
      else {
        body = JSON.stringify(p.body);
        headers['content-type'] ??= 'application/json';
      }
      if (body.length > MAX_BODY) throw new RpcError(-32602, `a body of more than ${MAX_BODY} characters`);
    }
    const abort = new AbortController();
    aborts.add(abort);
    try {
      // Redirects are not followed: one could lead out of the prefix, with the reader's session.
      const response = await doFetch(url, { method, headers, body, credentials: 'same-origin', redirect: 'manual', signal: abort.signal, cache: 'no-store' });
      if (response.type === 'opaqueredirect') throw new RpcError(-32001, 'the answer is a redirect, and the bridge follows none');
      return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
    } catch (e) {
      if (e instanceof RpcError) throw e;
      throw new RpcError(-32002, 'the host cannot be reached');
    } finally {
      aborts.delete(abort);
    }
  }

  function subscribe(p: Record<string, unknown>) {
    const types = list(p.types);
    if (types.length === 0) throw new RpcError(-32602, '`types` is a list of event types');
    const granted = o.grantedTypes();
    const refused = types.filter((t) => !granted || !covered(t, granted));
    if (refused.length > 0) throw new RpcError(-32003, `the permission events.read does not cover ${refused.join(', ')}`);
    for (const t of types) wanted.add(t);
    stopEvents ??= o.onEvent((event) => {
      // Looked up again for each event: a grant can be taken back while the page is open.
      const now = o.grantedTypes();
      if (!now || !now.some((g) => typeMatches(g, event.type))) return;
      if ([...wanted].some((w) => typeMatches(w, event.type))) post({ jsonrpc: '2.0', method: 'event', params: event });
    });
    return { types: [...wanted] };
  }

  function download(p: Record<string, unknown>) {
    if (typeof p.content !== 'string' || p.content.length > MAX_DOWNLOAD) throw new RpcError(-32602, '`content` is text of at most 64 MiB');
    const name = (typeof p.name === 'string' ? p.name : '').replace(/[^\p{L}\p{N}._ ()-]+/gu, '_').replace(/^\.+/, '').slice(0, 120) || 'download';
    const mime = typeof p.mime === 'string' && /^[\w.+-]+\/[\w.+-]+(;[\w=. -]+)?$/.test(p.mime) ? p.mime : 'application/octet-stream';
    let content: string | Uint8Array<ArrayBuffer> = p.content;
    if (p.encoding === 'base64') {
      try {
        content = Uint8Array.from(atob(p.content), (c) => c.charCodeAt(0));
      } catch {
        throw new RpcError(-32602, '`content` is not base64');
      }
    }
    o.download(name, mime, content);
    return null;
  }

  return {
    connected: () => port !== null,
    contextChanged: () => post({ jsonrpc: '2.0', method: 'context', params: o.context() }),
    close: () => {
      win.removeEventListener('message', onMessage);
      stopEvents?.();
      for (const a of aborts) a.abort();
      port?.close();
      port = null;
    },
  };
}

function list(v: unknown): string[] {
  return Array.isArray(v) ? v.filter((x): x is string => typeof x === 'string' && x.length <= 200).slice(0, 50) : [];
}
