// `node --test sdk/js/plenum-bridge.test.mjs`: the bridge against a portal that records what it is asked.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';

const SOURCE = readFileSync(new URL('./plenum-bridge.js', import.meta.url), 'utf8');

/** A page with the bridge in it, and the portal's end of its port. `refuse` names methods that the portal answers with an error. */
async function page({ refuse = [] } = {}) {
  const asked = [];
  const errors = [];
  const listeners = new Set();
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => {
    asked.push(data);
    port1.postMessage(refuse.includes(data.method) ? { id: data.id, error: { code: -32003, message: 'refused' } } : { id: data.id, result: { status: 200 } });
  };
  const parent = {
    postMessage(message) {
      assert.deepEqual({ ...message }, { plenum: 'hello', version: 1 });
      const event = { source: parent, data: { plenum: 'port', context: { theme: 'light', path: '' } }, ports: [port2] };
      for (const fn of [...listeners]) fn(event);
    },
  };
  const window = {};
  vm.runInNewContext(SOURCE, {
    window, parent, setTimeout, clearTimeout, btoa,
    addEventListener: (_, fn) => listeners.add(fn),
    removeEventListener: (_, fn) => listeners.delete(fn),
    console: { warn: () => {}, error: (e) => errors.push(e) },
  });
  const p = await window.plenum.connect();
  // Messages of a port keep their order: once this one is answered, all before it were heard.
  const settled = () => p.http.get('/settled');
  return { p, asked, errors, say: (method, params) => port1.postMessage({ jsonrpc: '2.0', method, params }), settled, close: () => port1.close() };
}

const plain = (value) => JSON.parse(JSON.stringify(value));

test('JSON says that it is JSON, text is sent as it is', async (t) => {
  const { p, asked, close } = await page();
  t.after(close);
  await p.http.patch('/a', { b: 1 });
  await p.http.request('POST', '/a', 'x=1', { 'content-type': 'application/x-www-form-urlencoded' });
  await p.http.get('/a');
  assert.deepEqual(plain(asked.map((a) => a.params)), [
    { method: 'PATCH', path: '/a', headers: { 'content-type': 'application/json' }, body: '{"b":1}' },
    { method: 'POST', path: '/a', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'x=1' },
    { method: 'GET', path: '/a', headers: {}, body: null },
  ]);
});

test('events reach those who asked, and a listener that throws stops no other', async (t) => {
  const { p, errors, say, settled, close } = await page();
  t.after(close);
  const seen = [];
  await p.events.subscribe(['plenum.job.'], () => { throw new Error('mine'); });
  await p.events.subscribe('plenum.job.*', (e) => seen.push(`star ${e.type}`));
  await p.events.subscribe('plenum.job.started', (e) => seen.push(`exact ${e.type}`));
  say('event', { type: 'plenum.job.started' });
  say('event', { type: 'plenum.job.ended' });
  await settled();
  assert.deepEqual(seen, ['star plenum.job.started', 'exact plenum.job.started', 'star plenum.job.ended']);
  assert.equal(errors.length, 2);
});

test('the portal is told when nobody listens any more', async (t) => {
  const { p, asked, settled, close } = await page();
  t.after(close);
  const first = await p.events.subscribe(['a', 'b'], () => {});
  const second = await p.events.subscribe(['b'], () => {});
  first();
  first();
  second();
  await settled();
  const told = plain(asked.filter((a) => a.method === 'unsubscribe').map((a) => a.params.types));
  assert.deepEqual(told, [['a'], ['b']]);
});

test('a refused subscription leaves nothing behind', async (t) => {
  const { p, say, settled, close } = await page({ refuse: ['subscribe'] });
  t.after(close);
  let heard = 0;
  await assert.rejects(p.events.subscribe('a', () => heard++), /refused/);
  say('event', { type: 'a' });
  await settled();
  assert.equal(heard, 0);
});

test('bytes are downloaded as bytes, however many', async (t) => {
  const { p, asked, close } = await page();
  t.after(close);
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 256);
  await p.download('a.bin', 'application/octet-stream', bytes);
  await p.download('a.txt', 'text/plain', 'text');
  assert.equal(asked[0].params.encoding, 'base64');
  assert.deepEqual(Buffer.from(asked[0].params.content, 'base64'), Buffer.from(bytes));
  assert.deepEqual(plain(asked[1].params), { name: 'a.txt', mime: 'text/plain', content: 'text' });
});

test('a new context is merged and told', async (t) => {
  const { p, say, settled, close } = await page();
  t.after(close);
  say('context', { theme: 'dark' });
  await settled();
  assert.deepEqual(plain(p.context), { theme: 'dark', path: '' });
});
