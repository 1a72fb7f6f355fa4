/** A host in a few hundred lines, for developing the portal: state in memory, no rules but those that the portal has to show. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as data from './data';

let signedIn = process.env.MOCK_SIGNED_OUT !== '1';
const user = { id: 'u-1', name: 'admin', display_name: 'Ada Admin', role: 'administrator' };
const permissions = 'cmdb.read cmdb.write cmdb.model jobs.read jobs.run nodes.read nodes.manage workflow.read workflow.run workflow.write plugins.read plugins.view plugins.use plugins.manage store events.publish events.read http.outgoing users.manage audit.read'.split(' ');
const users = [
  { ...user, disabled: false, created_at: data.ago(9999), updated_at: data.ago(99) },
  { id: 'u-2', name: 'olga', display_name: 'Olga Operator', role: 'operator', disabled: false, created_at: data.ago(8999), updated_at: data.ago(99) },
  { id: 'u-3', name: 'victor', display_name: '', role: 'viewer', disabled: true, created_at: data.ago(7999), updated_at: data.ago(99) },
];
const tokens: Record<string, unknown>[] = [{ id: 't-1', name: 'ci', role: 'operator', created_at: data.ago(999), expires_at: data.ago(-9999), last_used_at: data.ago(5) }];
const audit = Array.from({ length: 60 }, (_, i) => ({
  seq: 100 - i,
  at: data.ago(i * 13),
  actor: i % 3 ? 'admin' : 'plugin inspection-center for admin',
  action: ['cmdb.instance.update', 'jobs.run', 'plugins.install'][i % 3],
  target: ['host/h-1', 'execution/e-1', 'plugin/inspection-center'][i % 3],
  allowed: i % 7 !== 3,
  reason: i % 7 === 3 ? 'the role viewer does not include jobs.run' : null,
  before: i % 3 ? null : { owner: null, env: 'dev' },
  after: i % 3 ? null : { owner: 'platform', env: 'prod' },
}));
const streams = new Set<ServerResponse>();
let seq = 1;

type Body = Record<string, unknown>;
class Refused extends Error {
  readonly status: number;
  readonly body: Body;
  constructor(status: number, code: string, title: string, detail: string, more: Body = {}) {
    super(detail);
    this.status = status;
    this.body = { type: `urn:plenum:error:${code}`, status, code, title, detail, ...more };
  }
}

function emit(type: string, subject: string, body: unknown = {}) {
  seq += 1;
  const text = `id: ${seq}\ndata: ${JSON.stringify({ specversion: '1.0', id: `ev-${seq}`, type, source: '/mock', subject, time: new Date().toISOString(), data: body })}\n\n`;
  streams.forEach((s) => s.write(text));
}

function page<T>(items: T[], q: URLSearchParams): unknown {
  const limit = Number(q.get('limit') ?? 50);
  const from = Number(q.get('cursor') ?? 0);
  const search = (q.get('search') ?? '').toLowerCase();
  const status = q.get('status') ?? q.get('state');
  const rows = items.filter((x) => (!search || JSON.stringify(x).toLowerCase().includes(search)) && (!status || (x as Body).status === status || (x as Body).state === status));
  const sort = q.get('sort');
  if (sort) {
    const key = sort.replace(/^-/, '');
    const value = (x: T) => ((x as Body).attributes as Body | undefined)?.[key] ?? (x as Body)[key] ?? '';
    rows.sort((a, b) => (value(a)! < value(b)! ? -1 : 1) * (sort.startsWith('-') ? -1 : 1));
  }
  return { items: rows.slice(from, from + limit), next_cursor: from + limit < rows.length ? String(from + limit) : null, total: rows.length };
}

/** Understands `field == "value"` only; anything else it knows by its field names. */
function filterCheck(model: string, filter: string) {
  const m = data.models.find((x) => x.name === model);
  const names = (m?.attributes ?? []).map((x) => String(x.name));
  for (const word of filter.matchAll(/"[^"]*"|\b([a-z_]\w*)\b(?!\()/g)) {
    const w = word[1];
    if (!w || names.includes(w) || ['in', 'true', 'false', 'null'].includes(w)) continue;
    const hint = names.find((n) => n.startsWith(w.slice(0, 3))) ?? null;
    return { ok: false, count: null, unindexed: [], error: { code: 'filter.unknown_field', message: `There is no field ${w}.`, position: word.index, hint } };
  }
  return { ok: true, count: matching(model, filter).length, unindexed: [], error: null };
}
function instances(model: string) {
  return model === 'host' ? data.hosts : data.services.filter((s) => s.model === model);
}
function matching(model: string, filter: string) {
  const eq = /^\s*(\w+)\s*==\s*"([^"]*)"\s*$/.exec(filter);
  return instances(model).filter((i) => !eq || i.attributes[eq[1]!] === eq[2]);
}
/** A host with what runs on it, a few applications above, a rack below. */
function graph(model: string, id: string, q: URLSearchParams) {
  const center = need(instances(model).find((i) => i.id === id));
  const depth = Number(q.get('depth') ?? 2);
  const down = q.get('walk') === 'needs';
  const nodes = [{ model, id, label: center.label, depth: 0 }];
  const edges: Body[] = [];
  const add = (n: { model: string; id: string; label: string; depth: number }, kind: string, of: { model: string; id: string }, source: boolean) => {
    if (n.depth > depth) return;
    if (!nodes.some((x) => x.id === n.id)) nodes.push(n);
    const [from, to] = source ? [n, of] : [of, n];
    edges.push({ id: `e-${edges.length}`, kind, from: [from.model, from.id], to: [to.model, to.id] });
  };
  if (down) {
    add({ model: 'host', id: 'h-9', label: 'edge-fra-01', depth: 1 }, 'runs_on', nodes[0]!, false);
    return { nodes, edges, truncated: false };
  }
  data.services.slice(0, 7).forEach((s, i) => {
    const service = { model: s.model, id: s.id, label: s.label, depth: 1 };
    add(service, 'runs_on', nodes[0]!, true);
    add({ model: 'business_application', id: `app-${i % 3}`, label: ['订单与结算中心（华东区域生产环境）', 'Payments', 'A portal with a rather long name'][i % 3]!, depth: 2 }, 'depends_on', service, true);
  });
  add({ model: 'team', id: 'team-1', label: 'Platform', depth: 3 }, 'belongs_to', { model: 'business_application', id: 'app-1' }, false);
  return { nodes, edges, truncated: depth > 3 };
}
const need = <T>(x: T | undefined): T => {
  if (x === undefined) throw new Refused(404, 'not_found', 'Not found', 'there is no such thing here');
  return x;
};

type Handler = (m: string[], q: URLSearchParams, body: Body) => unknown;
const routes: [string, RegExp, Handler][] = [
  ['GET', /^\/session$/, () => (signedIn ? { ...user, permissions } : undefined)],
  ['POST', /^\/session$/, (_m, _q, b) => { if (b.password === 'wrong') throw new Refused(401, 'access.wrong_password', 'Sign-in failed', 'the name or the password is wrong'); signedIn = true; return { ...user, permissions }; }],
  ['DELETE', /^\/session$/, () => { signedIn = false; }],
  ['PUT', /^\/session\/password$/, (_m, _q, b) => { if (b.current !== 'secret') throw new Refused(401, 'access.wrong_password', 'Sign-in failed', 'the current password is wrong'); }],
  ['GET', /^\/overview$/, () => ({ nodes: { online: 11, offline: 1 }, executions: { running: 1, succeeded_recent: 40, failed_recent: 2 }, runs: { running: 1, waiting: 1 }, apps: { active: 1, disabled: 0, failed: 0 } })],
  ['GET', /^\/system$/, () => ({ version: '0.1.0', database: 'sqlite', uptime_s: 4000, agent_address: '127.0.0.1:8444' })],
  ['GET', /^\/users$/, (_m, q) => page(users, q)],
  ['POST', /^\/users$/, (_m, _q, b) => { if (String(b.password).length < 10) throw new Refused(422, 'access.invalid', 'A value is not valid', 'a password has at least 10 characters', { pointer: '/password' }); const u = { id: `u-${users.length + 1}`, disabled: false, created_at: data.ago(0), updated_at: data.ago(0), ...b } as (typeof users)[number]; users.push(u); return u; }],
  ['PATCH', /^\/users\/([^/]+)$/, (m, _q, b) => Object.assign(need(users.find((u) => u.id === m[1])), b)],
  ['GET', /^\/tokens$/, (_m, q) => page(tokens, q)],
  ['POST', /^\/tokens$/, (_m, _q, b) => { const x = { id: `t-${tokens.length + 1}`, created_at: data.ago(0), expires_at: null, last_used_at: null, ...b }; tokens.push(x); return { ...x, token: 'plt_0123456789abcdef0123456789abcdef' }; }],
  ['DELETE', /^\/tokens\/([^/]+)$/, (m) => { tokens.splice(tokens.findIndex((x) => x.id === m[1]), 1); }],
  ['GET', /^\/audit$/, (_m, q) => page(audit.filter((x) => (!q.get('action') || x.action!.startsWith(q.get('action')!)) && (!q.get('actor') || x.actor === q.get('actor'))), q)],
  ['GET', /^\/cmdb\/models$/, () => ({ items: data.models.map((m) => ({ ...m, count: instances(m.name).length })), next_cursor: null, total: data.models.length })],
  ['POST', /^\/cmdb\/models$/, (_m, _q, b) => { data.models.push({ ...(b as unknown as (typeof data.models)[number]), version: 1, builtin: false, count: 0 }); return b; }],
  ['GET', /^\/cmdb\/models\/([^/]+)$/, (m) => need(data.models.find((x) => x.name === m[1]))],
  ['PUT', /^\/cmdb\/models\/([^/]+)$/, (m, _q, b) => Object.assign(need(data.models.find((x) => x.name === m[1])), b)],
  ['GET', /^\/cmdb\/models\/([^/]+)\/instances$/, (m, q) => page(matching(m[1]!, q.get('filter') ?? ''), q)],
  ['POST', /^\/cmdb\/models\/([^/]+)\/instances$/, (m, _q, b) => { const at = b.attributes as Body; const i = { id: `x-${Date.now()}`, model: m[1]!, label: String(at.hostname ?? at.name ?? ''), version: 1, attributes: at, created_at: data.ago(0), updated_at: data.ago(0) }; (m[1] === 'host' ? data.hosts : data.services).unshift(i); return i; }],
  ['GET', /^\/cmdb\/models\/([^/]+)\/instances\/([^/]+)$/, (m) => need(instances(m[1]!).find((i) => i.id === m[2]))],
  ['PATCH', /^\/cmdb\/models\/([^/]+)\/instances\/([^/]+)$/, (m, _q, b) => { const i = need(instances(m[1]!).find((x) => x.id === m[2])); if (b.version !== i.version) throw new Refused(409, 'cmdb.conflict', 'Changed by somebody else', 'load it again and make the change anew'); Object.assign(i.attributes, b.attributes); i.version += 1; emit('plenum.cmdb.instance.updated', `${m[1]}/${m[2]}`); return i; }],
  ['DELETE', /^\/cmdb\/models\/([^/]+)\/instances\/([^/]+)$/, (m) => { const all = m[1] === 'host' ? data.hosts : data.services; all.splice(all.findIndex((i) => i.id === m[2]), 1); }],
  ['GET', /^\/cmdb\/models\/([^/]+)\/instances\/([^/]+)\/history$/, (m) => ({
    items: [
      ...(instances(m[1]!).some((i) => i.id === m[2]) ? [] : [{ seq: 4, version: 4, at: data.ago(5), actor: 'admin', why: 'CHG-1077', before: { hostname: 'db-primary-01', arch: 'x86_64' }, after: null }]),
      { seq: 3, version: 3, at: data.ago(40), actor: 'agent db-primary-01', why: null, before: { memory_bytes: 68719476736, kernel: '6.1.0-27-amd64' }, after: { memory_bytes: 137438953472, kernel: '6.1.0-28-amd64' } },
      { seq: 2, version: 2, at: data.ago(4000), actor: 'admin', why: 'CHG-1042', before: { owner: null, env: 'dev' }, after: { owner: 'platform', env: 'prod' } },
      { seq: 1, version: 1, at: data.ago(12000), actor: 'agent db-primary-01', why: null, before: null, after: { hostname: 'db-primary-01', arch: 'x86_64' } },
    ],
    next_cursor: null,
    total: 3,
  })],
  ['POST', /^\/cmdb\/models\/([^/]+)\/instances\/([^/]+)\/restore$/, (m, _q, b) => { const all = m[1] === 'host' ? data.hosts : data.services; let i = all.find((x) => x.id === m[2]); if (!i) { i = { ...all[0]!, id: m[2]!, label: 'back-again', version: 4, attributes: { hostname: 'back-again' } }; all.unshift(i); } else if (!b.version) throw new Refused(422, 'cmdb.invalid_instance', 'A value is not valid', 'it is not deleted; name the version that it should be again'); i.version += 1; return i; }],
  ['GET', /^\/cmdb\/models\/([^/]+)\/instances\/([^/]+)\/graph$/, (m, q) => graph(m[1]!, m[2]!, q)],
  ['GET', /^\/cmdb\/models\/([^/]+)\/export$/, (m, q) => matching(m[1]!, q.get('filter') ?? '')],
  ['POST', /^\/cmdb\/models\/([^/]+)\/import$/, (_m, q, b) => {
    const lines = String(b.text).trim().split('\n').slice(1);
    const rows = lines.map((text, i) => ({ row: i + 2, outcome: text.includes('bad') ? 'failed' : i % 2 ? 'updated' : 'created', id: null, label: null, attribute: text.includes('bad') ? 'cpu_count' : null, code: null, detail: text.includes('bad') ? 'cpu_count has to be a whole number, and is "bad"' : null }));
    const count = (o: string) => rows.filter((r) => r.outcome === o).length;
    const failed = rows.filter((r) => r.outcome === 'failed');
    return { kept: q.get('dry_run') !== 'true' && !(q.get('all') === 'true' && failed.length), created: count('created'), updated: count('updated'), unchanged: 3, deleted: 0, failed: failed.length, rows: failed.length ? failed : rows };
  }],
  ['GET', /^\/cmdb\/models\/([^/]+)\/instances\/([^/]+)\/related$/, (m) => ({ items: m[1] === 'host' ? data.services.slice(0, 3).map((s, i) => ({ association: `as-${i}`, kind: 'runs_on', direction: 'backward', model: s.model, id: s.id, label: s.label })) : [{ association: 'as-0', kind: 'runs_on', direction: 'forward', model: 'host', id: 'h-0', label: 'db-primary-01' }], next_cursor: null, total: 3 })],
  ['GET', /^\/cmdb\/association-kinds$/, () => ({ items: [{ name: 'runs_on', forward: data.text('runs on', '运行于'), backward: data.text('runs', '运行着'), single: true }, { name: 'belongs_to', forward: data.text('belongs to', '属于'), backward: data.text('has', '包含成员'), single: false }], next_cursor: null, total: 2 })],
  ['POST', /^\/cmdb\/associations$/, (_m, _q, b) => ({ id: 'as-9', ...b })],
  ['DELETE', /^\/cmdb\/associations\/(.+)$/, () => undefined],
  ['POST', /^\/cmdb\/filter\/check$/, (_m, _q, b) => filterCheck(String(b.model), String(b.filter))],
  ['GET', /^\/cmdb\/search$/, (_m, q) => {
    const s = (q.get('q') ?? '').toLowerCase();
    const model = q.get('model');
    const all = [...data.hosts, ...data.services].filter((i) => JSON.stringify(i.attributes).toLowerCase().includes(s));
    const counts = new Map<string, number>();
    for (const i of all) counts.set(i.model, (counts.get(i.model) ?? 0) + 1);
    return {
      items: all.filter((i) => !model || i.model === model).slice(0, Number(q.get('limit') ?? 20)).map((i) => ({ ...i, matched: [{ attribute: 'label', title: {}, snippet: i.label }] })),
      counts: [...counts].map(([m, count]) => ({ model: m, count })),
      more: false,
      next_cursor: null,
      building: false,
    };
  }],
  ['GET', /^\/nodes$/, (_m, q) => page(data.nodes, q)],
  ['GET', /^\/nodes\/enrolment-tokens$/, () => ({ items: [{ id: 'tok-1', created_by: 'admin', created_at: data.ago(1), expires_at: data.ago(-59), used_at: null, node_id: null }], next_cursor: null, total: 1 })],
  ['POST', /^\/nodes\/enrolment-tokens$/, () => ({ id: 'tok-1', token: 'x', expires_at: data.ago(-60), command: 'plenum-agent up --host 127.0.0.1:8444 --token k3jq0v8e2m.9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08' })],
  ['GET', /^\/nodes\/([^/]+)$/, (m) => need(data.nodes.find((n) => n.id === m[1]))],
  ['PATCH', /^\/nodes\/([^/]+)$/, (m, _q, b) => Object.assign(need(data.nodes.find((n) => n.id === m[1])), b)],
  ['DELETE', /^\/nodes\/([^/]+)$/, (m) => { const n = need(data.nodes.find((x) => x.id === m[1])); n.state = 'revoked'; emit('plenum.node.revoked', n.id); return n; }],
  ['POST', /^\/nodes\/([^/]+)\/collect$/, () => undefined],
  ['GET', /^\/jobs\/executions$/, (_m, q) => page(data.executions.filter((e) => !q.get('origin') || e.origin === q.get('origin')), q)],
  ['POST', /^\/jobs\/executions$/, (_m, _q, b) => { const e = { ...data.executions[0]!, ...(b as object), id: `e-${data.executions.length}`, env: Object.keys((b.env as object | undefined) ?? {}), created_at: data.ago(0), started_at: data.ago(0) } as (typeof data.executions)[number]; data.executions.unshift(e); return e; }],
  ['GET', /^\/jobs\/executions\/([^/]+)$/, (m) => need(data.executions.find((e) => e.id === m[1]))],
  ['GET', /^\/jobs\/executions\/([^/]+)\/results$/, (m, q) => page(data.results(need(data.executions.find((e) => e.id === m[1]))), q)],
  ['GET', /^\/jobs\/executions\/([^/]+)\/results\/([^/]+)\/output$/, (m, q) => { const text = q.get('stream') === 'stderr' ? 'bash: line 4: frobnicate: command not found\n' : `Linux ${data.nodes.find((n) => n.id === m[2])?.name} 6.1.0-28-amd64 #1 SMP Debian 6.1.119-1 x86_64 GNU/Linux\nFilesystem      Size  Used Avail Use% Mounted on\n/dev/nvme0n1p2  120G   47G   68G  41% /\ntmpfs            63G     0   63G   0% /dev/shm\n`; const from = Number(q.get('offset') ?? 0); return { offset: from, text: text.slice(from), next_offset: text.length, end: true, truncated_bytes: 0 }; }],
  ['POST', /^\/jobs\/executions\/([^/]+)\/cancel$/, (m) => Object.assign(need(data.executions.find((e) => e.id === m[1])), { status: 'cancelled', finished_at: data.ago(0), cancelled_by: 'admin' })],
  ['POST', /^\/jobs\/executions\/([^/]+)\/retry$/, (m) => { const old = need(data.executions.find((e) => e.id === m[1])); const e = { ...old, id: `e-${data.executions.length}`, retry_of: old.id } as unknown as (typeof data.executions)[number]; data.executions.unshift(e); return e; }],
  ['GET', /^\/jobs\/executions\/([^/]+)\/chain$/, (m) => ({ items: [need(data.executions.find((e) => e.id === m[1]))] })],
  ['GET', /^\/jobs\/executions\/([^/]+)\/groups$/, (m) => { const groups = new Map<string, Record<string, unknown> & { count: number }>(); for (const r of data.results(need(data.executions.find((e) => e.id === m[1])))) { const g = groups.get(r.status) ?? { ...r, count: 0 }; g.count++; groups.set(r.status, g); } return { items: [...groups.values()], others: 0 }; }],
  ['GET', /^\/jobs\/executions\/([^/]+)\/search$/, (_m, q) => ({ items: [{ node_id: 'n-0', node_name: 'web-001', stream: 'stdout', lines: [{ number: 2, text: `a line with ${q.get('search')}` }], count: 1 }], searched: 12, next_cursor: null })],
  ['POST', /^\/jobs\/targets\/preview$/, (_m, _q, b) => { const f = (b.targets as { filter?: { model: string; cel: string }; nodes?: { node_id: string }[] }); const list = f.filter ? matching(f.filter.model, f.filter.cel).slice(0, 20).map((h) => data.nodes.find((n) => n.host_instance_id === h.id)).filter((n) => n !== undefined) : (f.nodes ?? []).map((x) => data.nodes.find((n) => n.id === x.node_id)!); return { total: list.length, items: list.map((n) => ({ node_id: n.id, node_name: n.name, state: n.state, instances: [] })), unreachable: f.filter?.cel ? [] : [{ instance: { model: 'host', id: 'h-30' }, label: 'worker-030', reason: 'no agent runs there' }], unmatched: [], unmatched_total: 0 }; }],
  ['GET', /^\/workflows$/, (_m, q) => page(data.workflows, q)],
  ['POST', /^\/workflows\/validate$/, (_m, _q, b) => (String(b.source).includes('oops') ? { ok: false, errors: [{ pointer: '/do/0', message: 'A task has one of call, do, for, fork, raise, set, switch, try, wait.' }], title: null, input_schema: null } : { ok: true, errors: [], title: 'x', input_schema: null })],
  ['POST', /^\/workflows$/, (_m, _q, b) => { const w = { ...data.workflows[1]!, ...(b as { name: string; source: string }), title: String(b.name) }; data.workflows.push(w); return w; }],
  ['GET', /^\/workflows\/([^/]+)\/versions$/, (m, q) => page([{ version: need(data.workflows.find((w) => w.name === m[1])).version, created_at: data.ago(9) }], q)],
  ['GET', /^\/workflows\/([^/]+)\/versions\/\d+$/, (m) => ({ version: 1, created_at: data.ago(9), source: need(data.workflows.find((w) => w.name === m[1])).source })],
  ['GET', /^\/runs\/statistics$/, () => ({ from: data.ago(9999), to: data.ago(0), runs: 0, more: false, by_status: {}, durations: null, buckets: [], workflows: [], causes: [], tasks: [], task_runs: 0 })],
  ['GET', /^\/workflows\/([^/]+)$/, (m) => need(data.workflows.find((w) => w.name === m[1]))],
  ['PUT', /^\/workflows\/([^/]+)$/, (m, _q, b) => { const w = need(data.workflows.find((x) => x.name === m[1])); w.version += 1; return Object.assign(w, b); }],
  ['POST', /^\/workflows\/([^/]+)\/runs$/, () => data.runs[0]],
  ['GET', /^\/runs$/, (_m, q) => page(data.runs.filter((r) => !q.get('workflow') || r.workflow === q.get('workflow')), q)],
  ['GET', /^\/runs\/([^/]+)$/, (m) => need(data.runs.find((r) => r.id === m[1]))],
  ['POST', /^\/runs\/([^/]+)\/cancel$/, (m) => Object.assign(need(data.runs.find((r) => r.id === m[1])), { status: 'cancelled', finished_at: data.ago(0), waiting: null })],
  ['POST', /^\/runs\/([^/]+)\/(pause|resume|tasks\/\d+\/\w+)$/, (m) => need(data.runs.find((r) => r.id === m[1]))],
  ['GET', /^\/schedules$/, (_m, q) => page(data.schedules, q)],
  ['POST', /^\/schedules\/preview$/, (_m, _q, b) => { if (String(b.cron).split(' ').length < 5) throw new Refused(422, 'workflow.cron', 'A value is not valid', 'a cron expression has five fields: minute hour day month weekday', { pointer: '/cron' }); return { times: [1, 2, 3, 4, 5].map((n) => data.ago(-n * 1440)) }; }],
  ['POST', /^\/schedules$/, (_m, _q, b) => { const s = { ...data.schedules[1]!, ...b, id: `sc-${data.schedules.length + 1}` } as (typeof data.schedules)[number]; data.schedules.push(s); return s; }],
  ['PATCH', /^\/schedules\/([^/]+)$/, (m, _q, b) => Object.assign(need(data.schedules.find((s) => s.id === m[1])), b)],
  ['DELETE', /^\/schedules\/([^/]+)$/, (m) => { data.schedules.splice(data.schedules.findIndex((s) => s.id === m[1]), 1); }],
  ['GET', /^\/actions$/, () => ({ items: [{ name: 'job.run', title: data.text('Run a script', '运行脚本'), description: '', input_schema: { type: 'object', properties: { name: { type: 'string' } } }, output_schema: null }], next_cursor: null, total: 1 })],
  ['GET', /^\/catalog$/, () => ({ items: data.catalog, next_cursor: null, total: data.catalog.length })],
  ['GET', /^\/catalog\/([^/]+)$/, (m) => need(data.catalog.find((c) => c.id === m[1]))],
  ['GET', /^\/plugins$/, () => ({ items: data.plugins, next_cursor: null, total: data.plugins.length })],
  ['POST', /^\/plugins$/, (_m, _q, b) => install(String(b.id), b.permissions as string[])],
  ['GET', /^\/plugins\/([^/]+)$/, (m) => need(data.plugins.find((p) => p.id === m[1]))],
  ['DELETE', /^\/plugins\/([^/]+)$/, (m) => { data.plugins.splice(data.plugins.findIndex((p) => p.id === m[1]), 1); const c = data.catalog.find((x) => x.id === m[1]); if (c) c.installed = null; emit('plenum.plugin.uninstalled', m[1]!); }],
  ['POST', /^\/plugins\/([^/]+)\/(enable|disable)$/, (m) => { const p = need(data.plugins.find((x) => x.id === m[1])); p.status = m[2] === 'enable' ? 'active' : 'disabled'; emit('plenum.plugin.changed', m[1]!); return p; }],
  ['GET', /^\/plugins\/([^/]+)\/settings$/, () => ({ settings: [{ name: 'mail', title: data.text('Mail to', '收件人'), type: 'string', required: true }, { name: 'token', title: 'Token', type: 'string', secret: true }, { name: 'level', title: data.text('Level', '级别'), type: 'string', options: ['low', 'high'] }], values: { mail: 'ops@example.com', token: true } })],
  ['PUT', /^\/plugins\/([^/]+)\/settings$/, (_m, _q, b) => b],
  ['GET', /^\/plugins\/([^/]+)\/logs$/, () => ({ items: ['info', 'warn', 'error'].map((level, i) => ({ at: data.ago(9 - i), level, call: '0197aaaa-0000-7000-8000-00000000000' + i, fields: i ? {} : { report: 'rp-17' }, message: ['graded 40 targets', 'one target did not answer', 'a report could not be closed: its inspection is gone'][i] })), next_cursor: null, total: 3 })],
  ['GET', /^\/plugins\/([^/]+)\/http\/hello$/, (_m, q) => ({ hello: q.get('name') ?? 'world', items: data.hosts.slice(0, 12).map((h, i) => ({ id: h.id, name: h.label, score: 60 + i * 3, state: i % 4 ? 'succeeded' : 'failed', at: h.updated_at, size: 1e9 * i })) })],
  ['POST', /^\/plugins\/([^/]+)\/http\/items(\/.*)?$/, (_m, _q, b) => { if (b.fail) throw new Refused(422, 'demo.refused', 'Refused', 'it was asked to fail'); return { id: 'h-1' }; }],
];

function install(id: string, granted: string[]) {
  const c = need(data.catalog.find((x) => x.id === id));
  c.installed = c.version;
  const p = { id, name: c.name, publisher: c.publisher, version: c.version, digest: c.digest, icon_url: null, actions: [], installed_by: 'admin', status: 'compiling', status_reason: null as string | null, description: c.description, pages: data.demoPages, permissions: c.permissions, granted: Object.fromEntries(c.permissions.filter((x) => granted.includes(x.name)).map((x) => [x.name, x.scope])), signature: c.signature, installed_at: data.ago(0), limits: { memory_mb: 256, cpu_ms: 20000, wall_ms: 120000, concurrency: 8 }, stats: { calls: 1204, errors: 2, cpu_ms: 8200, memory_peak_bytes: 3_400_000, p50_ms: 0.31, p95_ms: 1.2, p99_ms: 14 } };
  data.plugins.push(p);
  emit('plenum.plugin.installed', id);
  setTimeout(() => {
    p.status = 'active';
    emit('plenum.plugin.changed', id);
  }, 800);
  return p;
}
if (process.env.MOCK_EMPTY === '1') for (const list of [data.nodes, data.executions, data.runs, data.hosts, data.services, data.schedules]) list.length = 0;
else if (process.env.MOCK_INSTALLED !== '0') install('inspection-center', ['cmdb.read', 'jobs.run', 'store', 'events.read']);

const FRAME = `<!doctype html><meta charset=utf-8><title>Demo</title><body style="font:14px sans-serif;padding:16px"><h1>Framed demo</h1><pre id=o>connecting</pre>
<button id=b>get /hello</button> <button id=n>notify</button> <button id=d>download</button> <button id=p>setPath</button> <button id=e>escape</button>
<script>
const o=document.getElementById('o');let port,next=1;const wait=new Map();const say=(x)=>o.textContent+='\\n'+JSON.stringify(x);
addEventListener('message',(e)=>{if(e.source!==parent||e.data.plenum!=='port')return;port=e.ports[0];say(e.data.context.theme+' '+e.data.context.locale+' path='+e.data.context.path);document.body.style.color=e.data.context.theme==='dark'?'#eee':'#111';
port.onmessage=(m)=>{if(m.data.id){const w=wait.get(m.data.id);wait.delete(m.data.id);w(m.data)}else say(m.data.method+' '+(m.data.params.path??m.data.params.type))};
call('subscribe',{types:['plenum.job.target.finished']}).then(say);});
const call=(method,params)=>new Promise(r=>{const id=next++;wait.set(id,r);port.postMessage({jsonrpc:'2.0',id,method,params})});
parent.postMessage({plenum:'hello',version:1},'*');
b.onclick=()=>call('http',{method:'GET',path:'/hello?name=x'}).then(r=>say(r.error??r.result.body.slice(0,60)));
n.onclick=()=>call('notify',{level:'success',text:'Hello from the frame'});
d.onclick=()=>call('download',{name:'a.csv',mime:'text/csv',content:'a,b'}).then(say);
p.onclick=()=>call('setPath',{path:'reports/17'}).then(say);
document.getElementById('e').onclick=()=>Promise.all(['/../../users','/%2e%2e/users','//evil.example','https://evil.example','/a%2f..%2fb','/a\\\\b','/hello/..'].map(path=>call('http',{path}).then(r=>say([path,r.error?.code??r.result.status]))));
</script>`;
const BOARD = {
  title: data.text('Board', '看板'),
  refresh: { events: ['plenum.job.target.finished'], seconds: 30 },
  blocks: [
    { type: 'markdown', text: data.text('Scores of the **last inspection**. See [the jobs](/jobs).\n\n- one\n- two <b>not bold</b>', '**上次巡检**的评分。参见[作业](/jobs)。') },
    { type: 'stat', source: '/hello', items: [{ label: data.text('Hello', '你好'), field: 'hello' }, { label: data.text('Worst', '最低'), field: '/items/0/score', kind: 'number', unit: '%', tone: 'bad' }] },
    {
      type: 'table',
      title: data.text('Targets', '目标'),
      source: { path: '/hello', at: '/items' },
      columns: [{ field: 'name', title: data.text('Name', '名称'), link: '/cmdb/host/{id}' }, { field: 'score', title: data.text('Score', '评分'), kind: 'number' }, { field: 'state', title: data.text('State', '状态'), kind: 'status' }, { field: 'size', title: data.text('Size', '大小'), kind: 'bytes' }, { field: 'at', title: data.text('At', '时间'), kind: 'time' }],
      actions: [{ title: data.text('Check again', '重新检查'), path: '/items/{id}/check', confirm: data.text('Check again?', '重新检查？') }],
      toolbar: [{ title: data.text('Add', '添加'), path: '/items', style: 'primary', form: { type: 'object', required: ['name'], properties: { name: { type: 'string', title: 'Name' }, fail: { type: 'boolean', title: 'Fail' } } } }],
    },
    { type: 'form', title: data.text('Settings', '设置'), schema: { type: 'object', required: ['name'], properties: { name: { type: 'string', title: data.text('Name', '名称') }, level: { type: 'string', enum: ['low', 'high'], title: data.text('Level', '级别') }, limits: { type: 'array', title: data.text('Limits', '限制'), items: { type: 'object', properties: { check: { type: 'string', title: 'Check' }, max: { type: 'number', title: 'Max' } } } } } }, submit: { title: data.text('Save', '保存'), path: '/items' } },
    { type: 'actions', title: data.text('Actions', '操作'), items: [{ title: data.text('Fail', '失败'), path: '/items', input: { fail: true }, style: 'danger' }] },
  ],
};

async function read(req: IncomingMessage): Promise<Body> {
  const parts: Buffer[] = [];
  for await (const c of req) parts.push(c as Buffer);
  const body = Buffer.concat(parts).toString();
  if (req.headers['content-type'] === 'text/csv') return { text: body };
  return body ? (JSON.parse(body) as Body) : {};
}

export async function handle(req: IncomingMessage, res: ServerResponse, next: () => void): Promise<void> {
  const url = new URL(req.url ?? '/', 'http://mock');
  if (url.pathname.startsWith('/plugins/')) {
    const framed = url.pathname.endsWith('.html');
    res.setHeader('content-type', framed ? 'text/html' : 'application/json');
    res.end(framed ? FRAME : JSON.stringify(BOARD));
    return;
  }
  if (!url.pathname.startsWith('/api/v1')) return next();
  const path = url.pathname.slice('/api/v1'.length);
  if (path === '/events/stream' || /\/stream$/.test(path)) {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    res.write(': hello\n\n');
    if (path === '/events/stream') {
      streams.add(res);
      req.on('close', () => streams.delete(res));
    }
    return;
  }
  try {
    if (!signedIn && path !== '/session') throw new Refused(401, 'access.signed_out', 'Not signed in', 'sign in first');
    for (const [method, pattern, handler] of routes) {
      const m = method === req.method && pattern.exec(path);
      if (!m) continue;
      const body = method === 'GET' || method === 'DELETE' ? {} : await read(req);
      const answer = handler(m.map(decodeURIComponent), url.searchParams, body);
      res.writeHead(answer === undefined ? 204 : 200, { 'content-type': 'application/json' });
      res.end(answer === undefined ? undefined : JSON.stringify(answer));
      return;
    }
    throw new Refused(404, 'request.route', 'Not found', `there is no ${req.method} ${path}`);
  } catch (e) {
    const r = e instanceof Refused ? e : new Refused(500, 'internal', 'Something failed inside the mock', String(e));
    res.writeHead(r.status, { 'content-type': 'application/problem+json' });
    res.end(JSON.stringify(r.body));
  }
}
