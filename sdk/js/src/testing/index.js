// The platform in memory, for native tests of a plugin's logic.
//
//   const fake = new Fake();
//   fake.instance('host', { hostname: 'web1', os_id: 'debian' });
//   assert.deepEqual(plugin.handle(Request.get('/count')).decode(), { debian: 1 });
//
// The fake filters with CEL as the host does, but knows no schemas: it does not check unique fields, undeclared fields, scopes or quotas.
import { encodeText } from '../text.js';
import { newInstance } from './host/plenum-cmdb-instances.js';
import { copy, nextId, reset, state } from './state.js';

/** What the next job will have done, by node. */
export class Job {
  constructor() {
    this.results = [];
  }

  /** A node whose script ended with this code and printed this. */
  target(nodeId, nodeName, exitCode = 0, stdout = '', stderr = '') {
    const reason = exitCode === 0 ? null : `the script ended with ${exitCode}`;
    return this.#add(nodeId, nodeName, exitCode === 0 ? 'succeeded' : 'failed', reason, exitCode, 1, stdout, stderr);
  }

  /** A node whose script did not come to an end: `lost`, `timed_out`, `rejected`... */
  unreached(nodeId, nodeName, status, reason) {
    return this.#add(nodeId, nodeName, status, reason, null, null, '', '');
  }

  #add(nodeId, nodeName, status, reason, exitCode, durationMs, stdout, stderr) {
    const [out, err] = [encodeText(stdout), encodeText(stderr)];
    const sizes = { stdoutBytes: out.length, stderrBytes: err.length, truncatedBytes: 0 };
    this.results.push({ result: { nodeId, nodeName, status, reason, exitCode, durationMs, ...sizes }, out, err });
    return this;
  }
}

/** The platform in memory: from now on, until the next one is made.
 *
 * At first: alice, an operator, calls; the time is 2026-01-01T00:00:00Z; all permissions are granted; nothing is stored. */
export class Fake {
  constructor() {
    reset();
  }

  /** Who calls; null for a schedule or an event that nobody started. */
  user(name, role = 'operator') {
    state.user = name === null ? null : { id: name, name, role };
  }

  /** The call's idempotency key, as an action of a workflow has one. */
  key(key) {
    state.key = key;
  }

  /** The plugin's settings. */
  settings(settings) {
    state.settings = copy(settings);
  }

  /** A secret setting. */
  secret(name, value) {
    state.secrets[name] = value;
  }

  /** Says what actions of other plugins answer: a function of plugin, action and input. Without it, none is there. */
  onCall(f) {
    state.onCall = f;
  }

  /** Actions of other plugins that were called, in order: ['tls-watch.check', input]. */
  calls() {
    return copy(state.calls);
  }

  /** Says what the outside answers: a function of method, address and body that answers [status, text, bytes or what becomes JSON].
   * Without it, nobody does. */
  onRequest(f) {
    state.onRequest = f;
  }

  /** Requests to the outside that were sent, in order: 'GET https://...'. */
  outgoing() {
    return copy(state.outgoing);
  }

  /** What is in a bucket of keys and values: a Map of Uint8Array. */
  bucket(name) {
    return new Map(state.keyvalue[name] ?? []);
  }

  /** Sets the clock, in milliseconds since 1970. */
  at(now) {
    state.now = now;
  }

  /** Lets time pass. */
  advance(ms) {
    state.now += ms;
  }

  /** Takes a permission away, `cmdb.write`: what needs it fails with status 403. */
  deny(permission) {
    state.denied.add(permission);
  }

  /** Puts a record into the CMDB; answers its id. */
  instance(model, attributes) {
    return newInstance(model, copy(attributes)).id;
  }

  /** Links two records by [model, id], from the first to the second. */
  link(kind, source, target) {
    const association = nextId('association');
    for (const [of, to, forward] of [[source, target, true], [target, source, false]]) {
      const [model, id] = to;
      const label = state.instances.find((i) => i.model === model && i.id === id)?.label ?? '';
      state.related.push({ of, related: { association, kind, forward, model, id, label } });
    }
  }

  /** Says what the next job will have done; several are taken in order. A job that was not said fails to start. */
  job(job) {
    state.jobs.push(job);
  }

  /** Says what the next times of any cron expression are: the fake computes none. */
  nextTimes(times) {
    state.nextTimes = [...times];
  }

  /** Ends a run: with { output }, or with { error }. */
  finishRun(id, { output = null, error = null }) {
    const run = state.runs.find((r) => r.run.id === id)?.run;
    if (!run) throw new Error(`there is no run ${id}`);
    run.finishedAt = state.now;
    Object.assign(run, error === null ? { status: 'succeeded', output: JSON.stringify(output) } : { status: 'failed', error });
  }

  /** What was asked to be run, in order: the JSON of the API. */
  requests() {
    return copy(state.requests);
  }

  /** Runs of workflows that were started, in order. */
  runs() {
    return state.runs.map(({ run }) => ({ ...run, input: JSON.parse(run.input), output: run.output === null ? null : JSON.parse(run.output) }));
  }

  /** Schedules that the plugin made, by name. */
  schedules() {
    return Object.keys(state.schedules).sort().map((name) => ({ ...state.schedules[name], input: JSON.parse(state.schedules[name].input) }));
  }

  /** What the plugin counted, in order: { kind, name, labels, value }. */
  figures() {
    return copy(state.figures);
  }

  /** What people were told, in order. */
  notifications() {
    return copy(state.notifications);
  }

  /** Events that were published, in order. */
  events() {
    return copy(state.events);
  }

  /** The log, in order: { level, message, fields }. */
  log() {
    return copy(state.log);
  }

  /** Records of a collection, by id. */
  collection(name) {
    const records = state.collections[name] ?? {};
    return Object.keys(records).sort().map((id) => ({ ...records[id], data: JSON.parse(records[id].data) }));
  }
}
