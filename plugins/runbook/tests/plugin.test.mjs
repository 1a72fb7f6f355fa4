import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { Request } from '@plenum/sdk';
import { Fake, Job } from '@plenum/sdk/testing';

import plugin from '../src/plugin.js';

let fake;
beforeEach(() => (fake = new Fake()));

const ask = (request) => {
  const answer = plugin.handle(request.asUser('olga', 'operator'));
  return { status: answer.status, body: answer.body.length ? answer.decode() : null };
};
const RUNBOOK = { title: 'Restart', model: 'host', filter: 'os_id == "debian"', tags: ['Web', 'web'], body: '# Größe', steps: [{ title: 'Up', script: 'uptime' }] };
const made = (more = {}) => ask(Request.post('/runbooks', { ...RUNBOOK, ...more })).body;

test('a new installation begins with examples, once', () => {
  plugin.turn('install');
  plugin.turn('install');
  const { body } = ask(Request.get('/runbooks'));
  assert.deepEqual(body.items.map((r) => r.title), ['Disk is full', 'Load is high', 'nginx does not answer']);
  assert.equal(body.items[0].steps, 3);
});

test('runbooks are written, found, changed and deleted', () => {
  const { id, version, tags, steps } = made();
  assert.deepEqual([version, tags, steps], [1, ['web'], [{ title: 'Up', language: 'sh', script: 'uptime', timeout_s: 60, danger: false }]]);
  made({ title: 'Other', model: 'nginx', tags: ['db'], body: 'nothing' });
  const titles = (query) => ask(Request.get(`/runbooks?${query}`)).body.items.map((r) => r.title);
  assert.deepEqual(titles('search=gr%C3%B6%C3%9Fe+RESTART'), ['Restart']);
  assert.deepEqual(titles('search=%22%20%7C%7C%20true'), [], 'what is typed stays a text');
  assert.deepEqual(titles('model=nginx'), ['Other']);
  assert.deepEqual(titles('tag=web'), ['Restart']);
  assert.equal(ask(Request.put(`/runbooks/${id}`, { ...RUNBOOK, summary: 'S', version: 1 })).body.version, 2);
  assert.equal(ask(Request.put(`/runbooks/${id}`, { ...RUNBOOK, version: 1 })).status, 409, 'somebody was faster');
  assert.equal(ask(Request.delete(`/runbooks/${id}`)).status, 204);
  assert.equal(ask(Request.get(`/runbooks/${id}`)).status, 404);
});

test('all that is wrong is told at once, by its place', () => {
  const { status, body } = ask(Request.post('/runbooks', { title: ' ', model: 3, tags: [''], steps: [{ title: 'x', script: '', language: 'perl', timeout_s: 0 }, null] }));
  assert.equal(status, 422);
  const places = body.errors.map((e) => e.pointer);
  assert.deepEqual(places, ['/title', '/model', '/tags', '/steps/0/script', '/steps/0/language', '/steps/0/timeout_s', '/steps/1']);
});

test('viewers look', () => {
  const { id } = made();
  for (const request of [Request.post('/runbooks', RUNBOOK), Request.put(`/runbooks/${id}`, RUNBOOK), Request.delete(`/runbooks/${id}`), Request.post(`/runbooks/${id}/steps/0/run`, { instances: ['x'] })]) {
    assert.equal(plugin.handle(request.asUser('vera', 'viewer')).status, 403, request.method);
  }
});

test('a step runs on the records that were chosen', () => {
  const { id } = made();
  const web = fake.instance('host', { hostname: 'web1', os_id: 'debian', status: 'online' });
  fake.instance('host', { hostname: 'old', os_id: 'centos' });
  assert.deepEqual(ask(Request.get(`/runbooks/${id}/records`)).body.items, [{ id: web, label: 'web1', status: 'online', env: null }]);
  assert.deepEqual(ask(Request.get(`/runbooks/${id}/records?search=db`)).body.items, []);
  fake.job(new Job().target('n1', 'web1', 0, 'up 3 days'));
  const { status, body } = ask(Request.post(`/runbooks/${id}/steps/0/run`, { instances: [web], version: 1 }));
  assert.deepEqual([status, body.status, body.results[0].stdout], [202, 'succeeded', 'up 3 days']);
  const [request] = fake.requests();
  assert.deepEqual([request.name, request.script, request.targets], ['Restart: Up', { language: 'sh', content: 'uptime' }, { instances: [{ model: 'host', id: web }] }]);
  const runs = ask(Request.get(`/runbooks/${id}/runs`)).body;
  assert.deepEqual(runs.items.map((r) => [r.name, r.by, r.targets]), [['Up', 'olga', [{ id: web, label: 'web1' }]]]);
  assert.equal(ask(Request.get(`/runs/${runs.items[0].execution}`)).body.total, 1);

  const refused = (path, sent, code) => assert.equal(ask(Request.post(`/runbooks/${id}/steps/${path}/run`, sent)).body.code, code);
  refused('7', { instances: [web] }, 'runbook.no_step');
  refused('0', { instances: ['gone'] }, 'runbook.no_record');
  refused('0', { instances: [] }, 'request.invalid');
  ask(Request.put(`/runbooks/${id}`, { ...RUNBOOK, steps: [{ title: 'Up', script: 'rm -rf /' }] }));
  refused('0', { instances: [web], version: 1 }, 'runbook.changed');
});

test('a workflow runs a step once', () => {
  made();
  const web = fake.instance('host', { hostname: 'web1' });
  fake.key('run/1/task');
  fake.job(new Job().target('n1', 'web1'));
  const call = () => JSON.parse(plugin.call('run', JSON.stringify({ runbook: 'Restart', step: 0, instances: [web] })));
  assert.equal(call().execution, call().execution);
  assert.equal(fake.requests().length, 1);
  assert.equal(fake.collection('runs').length, 1);
  assert.throws(() => plugin.call('run', '{"runbook": "None", "step": 0, "instances": ["x"]}'), /there is no runbook "None"/);
});
