import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CloudEvent } from '../../api/events';
import { covered, openBridge, typeMatches, type BridgeContext } from './bridge';

const context = (): BridgeContext => ({ user: { id: '0197', name: 'ada', display_name: 'Ada', role: 'viewer' }, locale: 'en', theme: 'dark', plugin: 'demo', path: 'a/b', tokens: {} });

interface Answer {
  id?: number;
  method?: string;
  result?: unknown;
  params?: unknown;
  error?: { code: number; message: string };
}

function setup(fetchImpl: typeof fetch = () => Promise.resolve(new Response('hello', { status: 200 })), granted: () => string[] | null = () => ['plenum.job.*']) {
  const listeners: ((e: MessageEvent) => void)[] = [];
  const win = { addEventListener: (_: string, f: never) => listeners.push(f), removeEventListener: (_: string, f: never) => listeners.splice(listeners.indexOf(f), 1) } as unknown as Window;
  const sent: { data: unknown; ports: MessagePort[] }[] = [];
  const inner = { postMessage: (data: unknown, _origin: string, ports: MessagePort[]) => sent.push({ data, ports }) };
  const frame = { contentWindow: inner } as unknown as HTMLIFrameElement;
  let emit: (e: CloudEvent) => void = () => {};
  const spies = { navigate: vi.fn(), setPath: vi.fn(), notify: vi.fn(), download: vi.fn(), fetch: vi.fn(fetchImpl), stopped: vi.fn() };
  const bridge = openBridge({
    frame,
    plugin: 'demo',
    base: '/api/v1',
    context,
    grantedTypes: granted,
    onEvent: (f) => {
      emit = f;
      return spies.stopped;
    },
    navigate: spies.navigate,
    setPath: spies.setPath,
    notify: spies.notify,
    download: spies.download,
    fetch: spies.fetch as unknown as typeof fetch,
    window: win,
  });
  const hear = (data: unknown, source: unknown = inner, origin = 'null') => listeners.forEach((f) => f({ data, source, origin } as MessageEvent));
  const connect = () => {
    hear({ plenum: 'hello', version: 1 });
    const port = sent[0]?.ports[0];
    if (!port) throw new Error('no port');
    const waiting = new Map<number, (a: Answer) => void>();
    const notices: Answer[] = [];
    let next = 1;
    port.onmessage = (m: MessageEvent<Answer>) => {
      if (m.data.id !== undefined) waiting.get(m.data.id)?.(m.data);
      else notices.push(m.data);
    };
    const call = (method: string, params?: unknown) =>
      new Promise<Answer>((done) => {
        const id = next++;
        waiting.set(id, done);
        port.postMessage({ jsonrpc: '2.0', id, method, params });
      });
    return { call, notices, port };
  };
  return { bridge, hear, sent, connect, spies, emit: (e: Partial<CloudEvent>) => emit({ id: '1', source: '/', time: '', type: '', ...e }) };
}

let open: { bridge: { close: () => void } }[] = [];
const make = (...args: Parameters<typeof setup>) => {
  const s = setup(...args);
  open.push(s);
  return s;
};
beforeEach(() => {
  open = [];
});
afterEach(() => open.forEach((s) => s.bridge.close()));

describe('the handshake', () => {
  it('gives a port and the context to its own frame', () => {
    const s = make();
    s.hear({ plenum: 'hello', version: 1 });
    expect(s.sent).toHaveLength(1);
    expect(s.sent[0]?.data).toMatchObject({ plenum: 'port', context: { plugin: 'demo', theme: 'dark', path: 'a/b' } });
  });
  it('is refused to other windows, to documents with an origin, to other words and to a second document', () => {
    const s = make();
    s.hear({ plenum: 'hello', version: 1 }, {});
    s.hear({ plenum: 'hello', version: 1 }, null);
    s.hear({ plenum: 'hello', version: 1 }, undefined, 'https://evil.example');
    s.hear({ plenum: 'hello', version: 2 });
    s.hear('hello');
    s.hear(null);
    expect(s.sent.filter((m) => m.ports.length)).toHaveLength(0);
    s.hear({ plenum: 'hello', version: 1 });
    s.hear({ plenum: 'hello', version: 1 });
    expect(s.sent).toHaveLength(1);
  });
});

describe('requests', () => {
  it('go to the plugin’s own routes, as the reader', async () => {
    const s = make(() => Promise.resolve(new Response('{"ok":1}', { status: 201, headers: { 'content-type': 'application/json' } })));
    const { call } = s.connect();
    const a = await call('http', { method: 'post', path: '/items?x=1', body: { name: 'n' }, headers: { 'X-Mine': '1', Authorization: 'Bearer x', 'x-plenum-user': 'root', Cookie: 'a=b', Host: 'h' } });
    expect(a.result).toMatchObject({ status: 201, body: '{"ok":1}', headers: { 'content-type': 'application/json' } });
    expect(s.spies.fetch).toHaveBeenCalledWith('/api/v1/plugins/demo/http/items?x=1', expect.objectContaining({ method: 'POST', body: '{"name":"n"}', redirect: 'manual', headers: { 'x-mine': '1', 'content-type': 'application/json' } }));
  });
  it.each(['/../../session', '/%2e%2e/users', '//evil.example', 'https://evil.example/', '/a%2f..%2fb', 5])('never to %s', async (path) => {
    const s = make();
    const { call } = s.connect();
    expect((await call('http', { method: 'GET', path })).error?.code).toBe(-32602);
    expect(s.spies.fetch).not.toHaveBeenCalled();
  });
  it('with the usual methods only', async () => {
    const { call } = make().connect();
    expect((await call('http', { method: 'CONNECT', path: '/' })).error?.code).toBe(-32602);
  });
  it('do not follow redirects', async () => {
    const s = make(() => Promise.resolve({ type: 'opaqueredirect', status: 0 } as Response));
    const { call } = s.connect();
    expect((await call('http', { path: '/' })).error?.message).toContain('redirect');
  });
  it('answer with the status when the plugin refuses, and with an error when nobody answers', async () => {
    const s = make(() => Promise.resolve(new Response('{"title":"no"}', { status: 422 })));
    expect((await s.connect().call('http', { path: '/' })).result).toMatchObject({ status: 422 });
    const t = make(() => Promise.reject(new TypeError('network')));
    expect((await t.connect().call('http', { path: '/' })).error?.code).toBe(-32002);
  });
  it('are bounded in number', async () => {
    const s = make(() => new Promise(() => {}));
    const { call } = s.connect();
    for (let i = 0; i < 16; i += 1) void call('http', { path: '/' });
    expect((await call('http', { path: '/' })).error?.code).toBe(-32000);
  });
});

describe('events', () => {
  it('come as far as the grant and the subscription reach', async () => {
    const s = make(undefined, () => ['plenum.job.target.*', 'plenum.node.online']);
    const { call, notices } = s.connect();
    expect((await call('subscribe', { types: ['plenum.job.target.finished'] })).result).toEqual({ types: ['plenum.job.target.finished'] });
    s.emit({ type: 'plenum.job.target.finished' });
    s.emit({ type: 'plenum.job.target.started' });
    s.emit({ type: 'plenum.node.online' });
    s.emit({ type: 'plenum.cmdb.instance.updated' });
    await call('unsubscribe', { types: [] });
    expect(notices.map((n) => (n.params as CloudEvent).type)).toEqual(['plenum.job.target.finished']);
  });
  it.each([[['plenum.cmdb.*']], [['*']], [['plenum.job.target.finished', 'plenum.']], [[]], ['x']])('are refused beyond it: %j', async (types) => {
    const s = make(undefined, () => ['plenum.job.*']);
    const { call } = s.connect();
    expect((await call('subscribe', { types })).error).toBeDefined();
  });
  it('are refused without a grant, and stop when it is taken back', async () => {
    let granted: string[] | null = null;
    const s = make(undefined, () => granted);
    const { call, notices } = s.connect();
    expect((await call('subscribe', { types: ['plenum.job.target.finished'] })).error?.code).toBe(-32003);
    granted = ['*'];
    await call('subscribe', { types: ['plenum.job.target.finished'] });
    granted = null;
    s.emit({ type: 'plenum.job.target.finished' });
    await call('unsubscribe', { types: [] });
    expect(notices).toEqual([]);
  });
  it('match by name and by start', () => {
    expect(typeMatches('*', 'a.b')).toBe(true);
    expect(typeMatches('a.*', 'a.b')).toBe(true);
    expect(typeMatches('a.', 'a.b')).toBe(true);
    expect(typeMatches('a', 'a.b')).toBe(false);
    expect(covered('a.b.c', ['a.*'])).toBe(true);
    expect(covered('a.*', ['a.b.*'])).toBe(false);
    expect(covered('a.b', ['a.b'])).toBe(true);
    expect(covered('a.', ['a.'])).toBe(false);
  });
});

describe('the rest', () => {
  it('moves within the portal only', async () => {
    const s = make();
    const { call } = s.connect();
    expect((await call('navigate', { to: 'https://evil.example' })).error).toBeDefined();
    expect((await call('navigate', { to: '/api/v1/session' })).error).toBeDefined();
    await call('navigate', { to: '/runs/1' });
    expect(s.spies.navigate.mock.calls).toEqual([['/runs/1']]);
  });
  it('keeps the page’s place, speaks to the reader, saves files', async () => {
    const s = make();
    const { call } = s.connect();
    await call('setPath', { path: 'reports/17' });
    await call('setPath', { path: 'reports/18', replace: true });
    expect(s.spies.setPath.mock.calls).toEqual([
      ['reports/17', false],
      ['reports/18', true],
    ]);
    await call('notify', { level: 'shout', text: 'x'.repeat(900) });
    await call('notify', { level: 'error', text: 'too soon' });
    expect(s.spies.notify.mock.calls).toEqual([['info', 'x'.repeat(500)]]);
    await call('download', { name: '../../etc/报告 1.html', mime: 'text/html', content: '<p>' });
    await call('download', { name: '', mime: 'nonsense', content: btoa('ab'), encoding: 'base64' });
    expect(s.spies.download.mock.calls).toEqual([
      ['_.._etc_报告 1.html', 'text/html', '<p>'],
      ['download', 'application/octet-stream', new Uint8Array([97, 98])],
    ]);
  });
  it('answers unknown words with an error, and nonsense with nothing', async () => {
    const s = make();
    const { call, port } = s.connect();
    port.postMessage('nonsense');
    port.postMessage(null);
    port.postMessage({ id: 1 });
    expect((await call('eval', { code: '1' })).error?.code).toBe(-32601);
  });
  it('tells the page of a new theme or language', async () => {
    const s = make();
    const { call, notices } = s.connect();
    s.bridge.contextChanged();
    await call('unsubscribe', {});
    expect(notices[0]).toMatchObject({ method: 'context', params: { locale: 'en' } });
  });
});
