// `node --test sdk/js`: the bridge against a portal of a few lines.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';

const source = readFileSync(new URL('./plenum-bridge.js', import.meta.url), 'utf8');
const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

/** A page with the bridge in it, and a portal that answers with `answer(method, params)`. */
function page(t, answer = () => null) {
  const events = new EventTarget();
  const seen = [];
  const channel = new MessageChannel();
  t.after(() => channel.port1.close());
  channel.port1.onmessage = ({ data }) => {
    seen.push([data.method, data.params]);
    try {
      channel.port1.postMessage({ jsonrpc: '2.0', id: data.id, result: answer(data.method, data.params) });
    } catch (error) {
      channel.port1.postMessage({ jsonrpc: '2.0', id: data.id, error: { code: -32003, message: error.message } });
    }
  };
  const context = { user: { id: '0197', name: 'olga', display_name: 'Olga', role: 'operator' }, locale: 'en', theme: 'light', plugin: 'x', path: '', tokens: {} };
  const say = (source, data, ports) => events.dispatchEvent(Object.assign(new Event('message'), { source, data, ports }));
  const parent = {
    postMessage(data) {
      if (data.plenum === 'hello' && data.version === 1) queueMicrotask(() => say(parent, { plenum: 'port', context }, [channel.port2]));
    },
  };
  const window = {};
  vm.runInNewContext(source, {
    window,
    parent,
    console: { warn: () => {}, error: () => {} },
    setTimeout,
    clearTimeout,
    btoa,
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
  });
  return { plenum: window.plenum, seen, notify: (method, params) => channel.port1.postMessage({ jsonrpc: '2.0', method, params }) };
}

const plain = (value) => JSON.parse(JSON.stringify(value));

test('one connection, with the context', async (t) => {
  const { plenum } = page(t);
  const p = await plenum.connect();
  assert.equal(await plenum.connect(), p);
  assert.equal(p.context.user.name, 'olga');
});

test('requests carry JSON and say so; text stays as it is', async (t) => {
  const { plenum, seen } = page(t, () => ({ status: 200, headers: {}, body: '[]' }));
  const p = await plenum.connect();
  assert.equal((await p.http.post('/things', { a: 1 })).body, '[]');
  await p.http.get('/things');
  await p.http.patch('/things/1', { a: 2 });
  await p.http.request('PUT', '/file', 'a,b', { 'content-type': 'text/csv' });
  assert.deepEqual(plain(seen.map(([, params]) => params)), [
    { method: 'POST', path: '/things', headers: { 'content-type': 'application/json' }, body: '{"a":1}' },
    { method: 'GET', path: '/things', headers: {}, body: null },
    { method: 'PATCH', path: '/things/1', headers: { 'content-type': 'application/json' }, body: '{"a":2}' },
    { method: 'PUT', path: '/file', headers: { 'content-type': 'text/csv' }, body: 'a,b' },
  ]);
});

test('events reach those who asked, until they have had enough', async (t) => {
  const { plenum, seen, notify } = page(t);
  const p = await plenum.connect();
  const [jobs, all] = [[], []];
  const stopJobs = await p.events.subscribe('plenum.job.target.finished', (e) => jobs.push(e.id));
  const stopAll = await p.events.subscribe(['plenum.job.target.finished', 'plenum.node.'], (e) => all.push(e.id));
  const send = async (id, type) => {
    notify('event', { id, type });
    await settled();
  };
  await send('1', 'plenum.job.target.finished');
  await send('2', 'plenum.node.online');
  assert.deepEqual([jobs, all], [['1'], ['1', '2']]);
  stopJobs();
  stopJobs();
  await send('3', 'plenum.job.target.finished');
  assert.deepEqual([jobs, all], [['1'], ['1', '2', '3']]);
  // The first type is still wanted by the second subscription.
  assert.equal(seen.filter(([method]) => method === 'unsubscribe').length, 0);
  stopAll();
  await settled();
  assert.deepEqual(plain(seen.at(-1)), ['unsubscribe', { types: ['plenum.job.target.finished', 'plenum.node.'] }]);
});

test('a refused subscription is an error and hears nothing', async (t) => {
  const { plenum, notify } = page(t, (method) => {
    if (method === 'subscribe') throw new Error('not granted');
    return null;
  });
  const p = await plenum.connect();
  const heard = [];
  await assert.rejects(p.events.subscribe('secret', (e) => heard.push(e)), { message: 'not granted', code: -32003 });
  notify('event', { id: '1', type: 'secret' });
  await settled();
  assert.deepEqual(heard, []);
});

test('a listener that throws does not silence the others', async (t) => {
  const { plenum, notify } = page(t);
  const p = await plenum.connect();
  const themes = [];
  p.onContext(() => {
    throw new Error('mine');
  });
  p.onContext((c) => themes.push(c.theme));
  notify('context', { theme: 'dark' });
  await settled();
  assert.deepEqual([themes, p.context.theme, p.context.locale], [['dark'], 'dark', 'en']);
});

test('what the portal does for the page', async (t) => {
  const { plenum, seen } = page(t);
  const p = await plenum.connect();
  await p.navigate('/jobs');
  await p.setPath('reports/7', { replace: true });
  await p.notify('success', 'Saved');
  await p.download('a.csv', 'text/csv', 'a,b');
  await p.download('a.png', 'image/png', new Uint8Array([0, 255, 1]));
  assert.deepEqual(plain(seen), [
    ['navigate', { to: '/jobs' }],
    ['setPath', { path: 'reports/7', replace: true }],
    ['notify', { level: 'success', text: 'Saved' }],
    ['download', { name: 'a.csv', mime: 'text/csv', content: 'a,b' }],
    ['download', { name: 'a.png', mime: 'image/png', content: 'AP8B', encoding: 'base64' }],
  ]);
});
