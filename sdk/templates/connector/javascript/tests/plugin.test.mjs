import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { cmdb } from '@plenum/sdk';
import { Fake } from '@plenum/sdk/testing';

import plugin from '../src/plugin.js';

const URL = 'https://api.example.com/teams';

let fake;
beforeEach(() => {
  fake = new Fake();
  fake.settings({ url: URL });
});

test('teams are made, changed and left', () => {
  fake.secret('token', 's3cret');
  fake.instance('team', { name: 'dba', email: 'old@example.com' });
  fake.onRequest(() => [200, [{ name: 'dba', email: 'dba@example.com' }, { name: 'web' }]]);
  assert.deepEqual(JSON.parse(plugin.call('sync', '{}')), { seen: 2, created: 1, updated: 1 });
  assert.deepEqual(JSON.parse(plugin.call('sync', '{}')), { seen: 2, created: 0, updated: 0 });
  assert.deepEqual(fake.outgoing(), [`GET ${URL}`, `GET ${URL}`]);
  assert.equal(cmdb.query('team', { filter: 'name == "dba"' }).page().items[0].attributes.email, 'dba@example.com');
});

test('a failure says what was answered', () => {
  fake.onRequest(() => [401, 'who are you?']);
  assert.throws(() => plugin.call('sync', '{}'), /answered 401: who are you/);
});
