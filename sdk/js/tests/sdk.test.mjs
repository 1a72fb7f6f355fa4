// The SDK on the fake platform.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { beforeEach, test } from 'node:test';

import { PlenumError, Request, Response, Router, cel, clock, cmdb, context, definePlugin, events, jobs, keyvalue, log, metrics, notify, outgoing, plugins, random, store, workflow } from '@plenum/sdk';
import { Fake, Job } from '@plenum/sdk/testing';

import { filter } from '../src/testing/cel.js';
import { decodeText, encodeText } from '../src/text.js';

let fake;
beforeEach(() => (fake = new Fake()));

const refuses = (status, code, f) => {
  let thrown;
  assert.throws(f, (e) => (thrown = e) && e instanceof PlenumError && e.status === status && e.code === code);
  return thrown;
};

// The same cases as those of the SDK for Python.
const filters = JSON.parse(readFileSync(new URL('../../python/tests/filters.json', import.meta.url), 'utf8'));

test('what a filter matches', () => {
  for (const text of filters.true) assert.equal(filter(text)(filters.record), true, text);
  for (const text of filters.false) assert.equal(filter(text)(filters.record), false, text);
  for (const text of filters.wrong) assert.throws(() => filter(text), (e) => e.code === 'filter.syntax', text);
  refuses(422, 'filter.syntax', () => cmdb.query('host', { filter: 'a ==' }).all());
});

test('literals cannot be left', () => {
  assert.equal(`os_id == ${cel('x" || true || "')}`, 'os_id == "x\\" || true || \\""');
  assert.equal(cel(['a', 1, 2.5, null, true]), '["a", 1, 2.5, null, true]');
  for (const text of ['x" || true || "', "it's", 'a\\b\nc\t\x00', '中 😀']) assert.equal(filter(`v == ${cel(text)}`)({ v: text }), true, text);
  assert.throws(() => cel({}), TypeError);
  assert.throws(() => cel(NaN), TypeError);
});

test('text is UTF-8, as Node.js has it', () => {
  for (const text of ['', 'abc', 'Größe', '中文 😀', '\u0000\u007f\u0080\u07ff\u0800\uffff', 'lone \ud800 surrogate']) {
    assert.deepEqual(encodeText(text), new TextEncoder().encode(text), text);
    assert.equal(decodeText(new TextEncoder().encode(text)), new TextDecoder('utf-8', { ignoreBOM: true }).decode(new TextEncoder().encode(text)), text);
  }
  for (const bytes of [[0xff], [0x61, 0xc3], [0x80, 0x61], [0xf5, 0x61]]) {
    assert.equal(decodeText(Uint8Array.from(bytes)), new TextDecoder().decode(Uint8Array.from(bytes)), bytes.join());
  }
  const long = '中'.repeat(200_000);
  assert.equal(decodeText(encodeText(long)), long);
});

const router = new Router()
  .get('/notes/{id}', (r) => ({ id: r.param('id'), n: r.query('n', Number) ?? 1 }))
  .delete('/notes/{id}', (r) => void r.writer())
  .get('/files/{*path}', (r) => Response.text(r.param('path')))
  .post('/orders', (r) => Response.json(r.json({ count: 'number', name: 'string?' }), 201))
  .get('/fails', () => null.x)
  .get('/async', async () => 1);
const plugin = definePlugin({ http: router });
const ask = (request) => {
  const answer = plugin.handle(request);
  return [answer.status, answer.headers['content-type']?.includes('json') && answer.body.length ? answer.decode() : answer.text()];
};

test('paths', () => {
  for (const [target, id] of [['/notes/7', '7'], ['/notes/7/', '7'], ['/notes/a%2Fb', 'a/b'], ['/notes/%E4%B8%AD', '中'], ['/notes/%zz', '%zz']]) {
    assert.deepEqual(ask(Request.get(target)), [200, { id, n: 1 }], target);
  }
  assert.deepEqual(ask(Request.get('/files/a/b%20c/d')), [200, 'a/b c/d']);
  assert.deepEqual(ask(new Request('HEAD', '/notes/7')), [200, '']);
  for (const target of ['/notes', '/notes/', '/notes/7/x', '/']) assert.equal(ask(Request.get(target))[0], 404, target);
  const answer = plugin.handle(Request.put('/notes/7'));
  assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, DELETE']);
});

test('queries and bodies', () => {
  assert.equal(ask(Request.get('/notes/7?n=2&n=3'))[1].n, 2);
  assert.equal(ask(Request.get('/notes/7?n=x'))[1].pointer, '/n');
  assert.deepEqual(new Request('GET', '/x?a=1+2&b=%E4%B8%AD&c=&d').pairs, [['a', '1 2'], ['b', '中'], ['c', ''], ['d', '']]);
  assert.equal(ask(Request.post('/orders', { count: 1 }))[0], 201);
  assert.equal(ask(Request.post('/orders', {}))[1].pointer, '/count');
  assert.equal(ask(Request.post('/orders', { count: 1, name: 2 }))[1].errors[0].pointer, '/name');
  assert.equal(ask(Request.post('/orders', []))[1].status, 422);
  assert.equal(ask(new Request('POST', '/orders', {}, encodeText('{')))[1].code, 'request.json');
});

test('who may', () => {
  assert.equal(ask(Request.delete('/notes/7'))[0], 403);
  assert.equal(ask(Request.delete('/notes/7').asUser('vera', 'viewer'))[0], 403);
  assert.deepEqual(ask(Request.delete('/notes/7').asUser('olga', 'operator')), [204, '']);
});

test('a fault is an answer and in the log', () => {
  assert.equal(ask(Request.get('/fails'))[1].code, 'plugin.exception');
  const [line] = fake.log();
  assert.match(line.message, /^threw: TypeError/);
  assert.ok(line.fields.stack.some((l) => l.includes('sdk.test.mjs')));
  assert.equal(ask(Request.get('/async'))[1].code, 'plugin.async');
});

test('actions, events, schedules, hooks', () => {
  const seen = [];
  const offered = definePlugin({
    actions: { plan: ({ items }) => ({ items: items.length }), later: async () => 1 },
    events: (event) => seen.push(event.data.id),
    schedules: { daily: (due) => seen.push(clock.iso(due)) },
    lifecycle: { install: () => seen.push('installed') },
    health: () => {},
  });
  assert.equal(offered.call('plan', '{"items": [1]}'), '{"items":1}');
  assert.match(refuses(404, 'plugin.no_action', () => offered.call('toString', '{}')).message, /there are: plan, later/);
  refuses(500, 'plugin.async', () => offered.call('later', '{}'));
  offered.deliver('{"id": "1", "type": "plenum.job.execution.finished", "data": {"id": "e1"}}');
  offered.fire('daily', 0);
  refuses(404, 'plugin.no_schedule', () => offered.fire('hourly', 0));
  offered.turn('install');
  offered.turn('uninstall');
  assert.deepEqual(seen, ['e1', '1970-01-01T00:00:00.000Z', 'installed']);
  assert.deepEqual(offered.offers(), { http: false, actions: ['later', 'plan'], schedules: ['daily'], events: ['*'], lifecycle: ['install'], health: true });
  assert.throws(() => definePlugin({ action: {} }), /it knows http, actions/);
});

test('cmdb', () => {
  const a = fake.instance('host', { hostname: 'web1', n: 2 });
  fake.instance('host', { hostname: 'web2', n: 1 });
  const service = fake.instance('nginx', { name: 'www' });
  fake.link('runs_on', ['nginx', service], ['host', a]);
  assert.deepEqual(cmdb.query('host', { sort: 'n' }).all().map((h) => h.label), ['web2', 'web1']);
  const page = cmdb.query('host', { limit: 1, sort: '-n' }).page();
  assert.deepEqual([page.items[0].label, page.total], ['web1', 2]);
  assert.equal(cmdb.query('host', { limit: 1, sort: '-n', cursor: page.nextCursor }).page().items[0].label, 'web2');
  assert.deepEqual(cmdb.related('host', a).map((r) => [r.kind, r.forward, r.label]), [['runs_on', false, 'www']]);
  const changed = cmdb.update('host', a, { n: null, env: 'prod' }, { version: 1 });
  assert.deepEqual([changed.version, changed.attributes], [2, { hostname: 'web1', env: 'prod' }]);
  refuses(409, 'store.conflict', () => cmdb.update('host', a, {}, { version: 1 }));
  cmdb.remove('host', a);
  assert.equal(cmdb.get('host', a), null);
  assert.deepEqual(cmdb.related('nginx', service), []);
  fake.deny('cmdb.write');
  refuses(403, 'access.denied', () => cmdb.create('host', {}));
});

test('store', () => {
  const notes = new store.Collection('notes');
  assert.equal(notes.insert('a', { count: 1 }), 1);
  refuses(409, 'store.conflict', () => notes.insert('a', { count: 1 }));
  assert.equal(notes.replace('a', 1, { count: 2 }), 2);
  refuses(409, 'store.conflict', () => notes.replace('a', 1, { count: 3 }));
  refuses(409, 'store.conflict', () => new store.Batch().write(notes, 'b', { count: 5 }).write(notes, 'a', {}, store.ABSENT).apply());
  assert.equal(notes.get('b'), null, 'all or none');
  assert.deepEqual(new store.Batch().write(notes, 'b', { count: 5 }).delete(notes, 'a').apply(), [1, 0]);
  assert.deepEqual(notes.query({ filter: 'count > 3' }).all().map((d) => d.data.count), [5]);
  assert.equal(notes.query().count(), 1);
  refuses(404, 'store.not_found', () => notes.require('a'));
});

test('jobs', () => {
  fake.job(new Job().target('n1', 'web1', 0, 'up 3 days').unreached('n2', 'db1', 'lost', 'the agent is away'));
  const request = { name: 'Uptime', script: jobs.Script.sh('uptime'), targets: jobs.Targets.filter('host', 'env == "prod"'), timeout_s: 30, key: 'k' };
  const started = jobs.run(request);
  assert.deepEqual([started.status, started.total, jobs.run(request).id], ['partial', 2, started.id]);
  assert.deepEqual(jobs.allResults(started.id).map((r) => [r.nodeName, r.status, r.exitCode]), [['web1', 'succeeded', 0], ['db1', 'lost', null]]);
  assert.equal(jobs.outputText(started.id, 'n1'), 'up 3 days');
  assert.deepEqual(fake.requests(), [request]);
  refuses(422, 'jobs.no_targets', () => jobs.run({ ...request, key: 'other' }));
});

test('workflows, events, context', () => {
  const run = workflow.start('inspect', { a: 1 }, 'k');
  assert.equal(workflow.start('inspect', { a: 2 }, 'k').id, run.id);
  fake.finishRun(run.id, { output: { ok: true } });
  assert.ok(workflow.finished(workflow.get(run.id)) && workflow.get(run.id).output.ok);
  workflow.schedules.put({ name: 'mine', cron: '0 6 * * *', workflow: 'inspect' });
  assert.equal(workflow.schedules.list()[0].timezone, 'UTC');
  workflow.schedules.remove('mine');
  assert.deepEqual(fake.schedules(), []);
  fake.nextTimes(['2026-01-02T06:00:00Z']);
  assert.deepEqual(workflow.schedules.nextTimes('0 6 * * *'), ['2026-01-02T06:00:00Z']);
  events.publish('mine.full', 'web1', { percent: 97 });
  assert.deepEqual(fake.events()[0].data, { percent: 97 });
  refuses(422, 'plugin.invalid', () => events.publish('plenum.mine', '', {}));
  fake.user('vera', 'viewer');
  fake.key('run/1');
  assert.deepEqual([context.user().name, context.current().idempotencyKey], ['vera', 'run/1']);
  refuses(403, 'plugin.read_only', () => context.writer());
  fake.user(null);
  refuses(403, 'plugin.no_user', () => context.user());
  fake.settings({ count: 3 });
  assert.equal(context.settings().count, 3);
  log.warn('too old', { node: 'n1' });
  assert.deepEqual(fake.log().at(-1), { level: 'warn', message: 'too old', fields: { node: 'n1' } });
  const before = clock.now();
  fake.advance(5);
  assert.equal(clock.now() - before, 5);
  assert.notEqual(random.id(), random.id());
});

test('records are counted and summed by group and by span', () => {
  const visits = new store.Collection('visits');
  const at = (day) => `2026-01-${day}T08:00:00Z`;
  const rows = [['home', 30, '31'], ['home', 10, '31'], ['about', 5, '30'], [null, 1, '30'], ['about', null, '31']];
  rows.forEach(([page, ms, day], i) => visits.put(`v${i}`, { ...(page && { page }), ...(ms !== null && { ms }), at: at(day) }));
  const groups = visits.aggregate(['count', ['count', 'ms'], ['sum', 'ms'], ['avg', 'ms'], ['min', 'ms'], ['max', 'ms']], { by: ['page'] });
  assert.deepEqual(groups, [
    { keys: ['about'], values: [2, 1, 5, 5, 5, 5] },
    { keys: ['home'], values: [2, 2, 40, 20, 10, 30] },
    { keys: [null], values: [1, 1, 1, 1, 1, 1] },
  ]);
  assert.deepEqual(visits.aggregate(['count'], { by: [['at', 'day']], filter: 'ms > 1' }), [
    { keys: ['2026-01-30'], values: [1] },
    { keys: ['2026-01-31'], values: [2] },
  ]);
  assert.deepEqual(visits.aggregate(['count', ['sum', 'ms']], { filter: 'ms > 1000' }), [{ keys: [], values: [0, null] }]);
  assert.equal(visits.aggregate(['count'], { by: ['page'], limit: 1 }).length, 1);
  refuses(422, 'store.query', () => visits.aggregate([]));
  refuses(422, 'store.query', () => visits.aggregate(['sum']));
});

test('keys have values, and counting loses none', () => {
  const bucket = keyvalue.open('seen');
  assert.equal(bucket.get('a'), null);
  bucket.set('a', 'größe');
  bucket.setJson('b', { n: [1] });
  assert.deepEqual([bucket.text('a'), bucket.json('b'), bucket.exists('c')], ['größe', { n: [1] }, false]);
  assert.deepEqual([bucket.increment('n'), bucket.increment('n', 41)], [1, 42]);
  bucket.setMany({ x: Uint8Array.of(1), y: 'two' });
  assert.deepEqual(bucket.getMany(['y', 'gone', 'x']), [encodeText('two'), null, Uint8Array.of(1)]);
  assert.deepEqual(bucket.keys(), ['a', 'b', 'n', 'x', 'y']);
  bucket.delete('a');
  bucket.deleteMany(['b', 'gone']);
  assert.deepEqual([...fake.bucket('seen').keys()].sort(), ['n', 'x', 'y']);
  assert.deepEqual(keyvalue.open('other').keys(), []);
  const many = keyvalue.open('many');
  for (let i = 0; i < 2100; i += 300) many.setMany(Object.fromEntries(Array.from({ length: 300 }, (_, j) => [`k${String(i + j).padStart(5, '0')}`, 'v'])));
  assert.equal(new Set(many.keys()).size, 2100);
  refuses(422, 'keyvalue.bucket', () => keyvalue.open('No/Such'));
  refuses(422, 'keyvalue.refused', () => bucket.set('', 'x'));
  refuses(422, 'keyvalue.refused', () => bucket.set('k', 'x'.repeat(800 << 10)));
  refuses(422, 'keyvalue.refused', () => bucket.increment('x', 1));
  fake.deny('store');
  refuses(403, 'access.denied', () => bucket.get('n'));
});

test('other plugins answer, and secrets are told', () => {
  refuses(404, 'plugin.not_found', () => plugins.call('tls-watch', 'check', {}));
  fake.onCall((plugin, action, input) => ({ plugin, action, days: input.port }));
  assert.deepEqual(plugins.call('tls-watch', 'check', { port: 443 }), { plugin: 'tls-watch', action: 'check', days: 443 });
  assert.deepEqual(fake.calls().at(-1), ['tls-watch.check', { port: 443 }]);
  fake.deny('plugins.use');
  refuses(403, 'access.denied', () => plugins.call('tls-watch', 'check', {}));
  assert.equal(context.secret('token'), null);
  fake.secret('token', 's3cret');
  assert.equal(context.secret('token'), 's3cret');
});

test('the outside answers as the test says', () => {
  const url = 'https://api.example.com/x';
  refuses(502, 'outgoing.failed', () => outgoing.get(url));
  fake.onRequest((method, url, body) => [url.endsWith('/no') ? 404 : 200, [method, body.length]]);
  const answer = outgoing.post(`${url}?y=1#z`, { json: { a: 1 }, headers: { 'X-A': 'b' } });
  assert.deepEqual([answer.status, answer.success().json()], [200, ['POST', 7]]);
  assert.equal(fake.outgoing().at(-1), `POST ${url}?y=1`);
  assert.equal(outgoing.get(`${url}/no`).status, 404);
  refuses(502, 'outgoing.status', () => outgoing.get(`${url}/no`).success());
  outgoing.get('http://api.example.com:8080?q=1');
  assert.equal(fake.outgoing().at(-1), 'GET http://api.example.com:8080/?q=1');
  for (const wrong of ['', 'api.example.com', 'ftp://a', 'https://', 'https:///x', 'https://me:secret@a.example.com/', 'https://a b/', 'https://a/\n']) {
    refuses(422, 'outgoing.url', () => outgoing.get(wrong));
  }
  fake.onRequest(() => [200, 'no json']);
  refuses(502, 'outgoing.json', () => outgoing.get(url).json());
  fake.deny('http.outgoing');
  refuses(403, 'access.denied', () => outgoing.get(url));
});

test('people are told, and figures counted', () => {
  assert.equal(notify.send({ title: 'Two expire', level: 'warning', users: ['olga'], roles: ['operator'], key: 'k' }), 2);
  assert.deepEqual(fake.notifications()[0].roles, ['operator']);
  metrics.add('seen', 3, { of: 'a' });
  metrics.observe('took_seconds', 0.2);
  assert.deepEqual(fake.figures()[0], { kind: 'counter', name: 'seen', labels: { of: 'a' }, value: 3 });
  fake.deny('notify.send');
  refuses(403, 'access.denied', () => notify.send({ title: 'x', users: ['olga'] }));
});
