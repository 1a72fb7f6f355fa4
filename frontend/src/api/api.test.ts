import { afterEach, describe, expect, it, vi } from 'vitest';
import { buildUrl, http, Problem, segment, whenSignedOut } from './client';
import { api } from './endpoints';
import { staleKeys } from './events';
import { openStream, SseParser, type SseMessage } from './sse';

afterEach(() => vi.unstubAllGlobals());

describe('addresses', () => {
  it('encodes values of a path', () => {
    expect(segment`/cmdb/models/${'a/b ?'}/instances/${7}`).toBe('/cmdb/models/a%2Fb%20%3F/instances/7');
  });
  it('leaves empty values out of a query', () => {
    expect(buildUrl('/x', { a: '', b: undefined, c: null, d: 0, e: 'ä&' })).toBe('/api/v1/x?d=0&e=%C3%A4%26');
  });
});

describe('answers', () => {
  const answer = (status: number, body: string, type = 'application/problem+json') => vi.stubGlobal('fetch', () => Promise.resolve(new Response(body || null, { status, headers: { 'content-type': type } })));

  it('are problems when they say so', async () => {
    answer(422, JSON.stringify({ code: 'cmdb.invalid', title: 'A value is not valid', detail: 'port is a number', pointer: '/attributes/port' }));
    const e = await http.get('/x').catch((x: unknown) => x);
    expect(e).toBeInstanceOf(Problem);
    expect(e).toMatchObject({ status: 422, code: 'cmdb.invalid', detail: 'port is a number', pointer: '/attributes/port' });
  });
  it('are problems when a proxy speaks HTML', async () => {
    answer(502, '<h1>Bad gateway</h1>', 'text/html');
    await expect(http.get('/x')).rejects.toMatchObject({ status: 502 });
  });
  it('may be empty', async () => {
    answer(204, '');
    await expect(http.delete('/x')).resolves.toBeUndefined();
  });
  it('tell when the session has ended', async () => {
    const out = vi.fn();
    whenSignedOut(out);
    answer(401, '{}');
    await http.get('/nodes').catch(() => {});
    await http.get('/session').catch(() => {});
    expect(out).toHaveBeenCalledTimes(1);
  });
  it('say that nobody is signed in, in either way that a host or a proxy may say it', async () => {
    answer(204, '');
    await expect(api.session.get()).resolves.toBeNull();
    answer(401, '{}');
    await expect(api.session.get()).resolves.toBeNull();
    answer(503, '{}');
    await expect(api.session.get()).rejects.toMatchObject({ status: 503 });
  });
  it('that never come are told from refusals', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')));
    await expect(http.get('/x')).rejects.toMatchObject({ status: 0, code: 'portal.unreachable' });
  });
});

describe('server-sent events', () => {
  const parse = (chunks: string[]) => {
    const out: SseMessage[] = [];
    const p = new SseParser((m) => out.push(m));
    chunks.forEach((c) => p.push(c));
    return out;
  };
  it('are put together whatever the pieces', () => {
    const text = ': hi\nid: 4\nevent: target\ndata: {"a":\ndata: 1}\n\nid: 5\ndata: x\r\n\r\ndata: unfinished';
    const whole = parse([text]);
    expect(whole).toEqual([
      { id: '4', event: 'target', data: '{"a":\n1}' },
      { id: '5', event: 'message', data: 'x' },
    ]);
    expect(parse([...text])).toEqual(whole);
  });
  it('go on after the last id when the connection breaks', async () => {
    const seen: (string | null)[] = [];
    const stream = (text: string) => new Response(text, { status: 200 });
    let calls = 0;
    vi.stubGlobal('fetch', (_: string, init: RequestInit) => {
      seen.push(new Headers(init.headers).get('last-event-id'));
      calls += 1;
      if (calls === 2) return Promise.resolve(new Response('', { status: 502 }));
      return Promise.resolve(stream(`id: ${calls}\ndata: m${calls}\n\n`));
    });
    const messages: string[] = [];
    await new Promise<void>((done) => {
      const stop = openStream({
        url: '/x',
        onMessage: (m) => {
          messages.push(m.data);
          if (messages.length === 2) {
            stop();
            done();
          }
        },
      });
    });
    expect(messages).toEqual(['m1', 'm3']);
    expect(seen).toEqual([null, '1', '1']);
  });
  it('are not asked for again without permission', async () => {
    const f = vi.fn(() => Promise.resolve(new Response('', { status: 403 })));
    vi.stubGlobal('fetch', f);
    const state = await new Promise((done) => openStream({ url: '/x', onMessage: () => {}, onState: (s, status) => s === 'closed' && done(status) }));
    expect(state).toBe(403);
    expect(f).toHaveBeenCalledTimes(1);
  });
});

describe('what an event makes stale', () => {
  it('goes by its domain', () => {
    expect(staleKeys({ type: 'plenum.cmdb.instance.updated' })).toEqual([['cmdb']]);
    expect(staleKeys({ type: 'plenum.plugin.installed' })).toContainEqual(['plugins']);
    expect(staleKeys({ type: 'plenum.workflow.task.changed' })).toContainEqual(['runs']);
    expect(staleKeys({ type: 'com.example.thing' })).toEqual([]);
  });
});
