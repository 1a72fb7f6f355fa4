import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { Request } from '@plenum/sdk';
import { Fake } from '@plenum/sdk/testing';

import plugin from '../src/plugin.js';

let fake;
beforeEach(() => (fake = new Fake()));

test('hosts are counted by system', () => {
  fake.instance('host', { hostname: 'web1', os_id: 'debian' });
  fake.instance('host', { hostname: 'web2', os_id: 'debian' });
  fake.instance('host', { hostname: 'new' });
  assert.deepEqual(plugin.handle(Request.get('/summary')).decode(), { debian: 2, unknown: 1 });
  assert.deepEqual(JSON.parse(plugin.call('count', '{"os_id": "debian"}')), { hosts: 2 });
});

test('notes are kept by those who may', () => {
  const note = { text: 'web1 moves on Friday' };
  assert.equal(plugin.handle(Request.post('/notes', note).asUser('vera', 'viewer')).status, 403);
  assert.equal(plugin.handle(Request.post('/notes', note).asUser('olga', 'operator')).status, 201);
  const wrong = plugin.handle(Request.post('/notes', { text: ' ' }).asUser('olga', 'operator'));
  assert.deepEqual([wrong.status, wrong.decode().pointer], [422, '/text']);
  assert.equal(plugin.handle(Request.get('/notes')).decode().items[0].data.author, 'olga');
});
