// Runbooks: what to do when, with buttons that do it.
import { PlenumError, Response, Router, cel, clock, cmdb, context, definePlugin, jobs, log, random, store } from '@plenum/sdk';

import { EXAMPLES } from './examples.js';

/**
 * @typedef {{ title: string, language: 'sh' | 'bash' | 'python3', script: string, timeout_s: number, danger: boolean }} Step
 * @typedef {{ title: string, summary: string, model: string, filter: string, tags: string[], body: string, steps: Step[], text: string,
 *   created_at: number, updated_at: number, updated_by: string }} Runbook
 */

/** @type {store.Collection<Runbook>} */
const RUNBOOKS = new store.Collection('runbooks');
/** @type {store.Collection<{ runbook: string, title: string, step: number, name: string, execution: string, targets: any[], by: string, at: number }>} */
const RUNS = new store.Collection('runs');

const LANGUAGES = ['sh', 'bash', 'python3'];
const MOST_TARGETS = 500;
const MOST_STEPS = 50;

// What people write

/** A runbook as it is kept, of what was sent; all that is wrong is told at once. */
function checked(sent) {
  const problems = [];
  const text = (name, most, needed = false) => {
    const value = sent[name] ?? '';
    if (typeof value !== 'string') problems.push({ pointer: `/${name}`, message: 'this must be text' });
    else if (needed && !value.trim()) problems.push({ pointer: `/${name}`, message: `a runbook needs a ${name}` });
    else if (value.length > most) problems.push({ pointer: `/${name}`, message: `at most ${most} characters` });
    return typeof value === 'string' ? value.trim() : '';
  };
  const found = { title: text('title', 120, true), summary: text('summary', 300), model: text('model', 60, true), filter: text('filter', 1000), body: text('body', 100_000) };
  const tags = sent.tags ?? [];
  if (!Array.isArray(tags) || tags.length > 20 || !tags.every((t) => typeof t === 'string' && t.trim() && t.length <= 40)) {
    problems.push({ pointer: '/tags', message: 'at most 20 tags of 1 to 40 characters' });
  }
  const steps = sent.steps ?? [];
  if (!Array.isArray(steps) || steps.length > MOST_STEPS) problems.push({ pointer: '/steps', message: `at most ${MOST_STEPS} steps` });
  else steps.forEach((step, i) => problems.push(...wrongIn(step, `/steps/${i}`)));
  if (problems.length) throw PlenumError.invalidFields(problems[0].message, problems);
  return {
    ...found,
    tags: [...new Set(tags.map((t) => t.trim().toLowerCase()))],
    steps: steps.map(({ title, language = 'sh', script, timeout_s = 60, danger = false }) => ({ title: title.trim(), language, script, timeout_s, danger })),
  };
}

function wrongIn(step, at) {
  if (step === null || typeof step !== 'object') return [{ pointer: at, message: 'a step has a title and a script' }];
  const problems = [];
  const { title, language = 'sh', script, timeout_s = 60, danger = false } = step;
  if (typeof title !== 'string' || !title.trim() || title.length > 120) problems.push({ pointer: `${at}/title`, message: 'a step needs a title of at most 120 characters' });
  if (typeof script !== 'string' || !script.trim() || script.length > 65_536) problems.push({ pointer: `${at}/script`, message: 'a step needs a script of at most 64 KiB' });
  if (!LANGUAGES.includes(language)) problems.push({ pointer: `${at}/language`, message: `one of ${LANGUAGES.join(', ')}` });
  if (!Number.isInteger(timeout_s) || timeout_s < 1 || timeout_s > 86_400) problems.push({ pointer: `${at}/timeout_s`, message: 'seconds, 1 to 86400' });
  if (typeof danger !== 'boolean') problems.push({ pointer: `${at}/danger`, message: 'true or false' });
  return problems;
}

/** What a search looks through: all of it in small letters, so that the platform's filter finds it. */
const searchable = (r) => [r.title, r.summary, r.model, ...r.tags, r.body, ...r.steps.map((s) => s.title)].join('\n').toLowerCase();

const shown = (document) => {
  const { text, ...rest } = document.data;
  return { id: document.id, version: document.version, ...rest };
};

// Routes

function list(request) {
  const parts = [];
  for (const word of (request.query('search') ?? '').toLowerCase().split(/\s+/).filter(Boolean).slice(0, 8)) parts.push(`text.contains(${cel(word)})`);
  if (request.query('model')) parts.push(`model == ${cel(request.query('model'))}`);
  if (request.query('tag')) parts.push(`${cel(request.query('tag'))} in tags`);
  const options = { filter: parts.join(' && '), sort: 'title', limit: 100, cursor: request.query('cursor') };
  const page = RUNBOOKS.query(options).page();
  // The list needs no bodies.
  const items = page.items.map(shown).map(({ body, steps, ...rest }) => ({ ...rest, steps: steps.length }));
  return { items, next_cursor: page.nextCursor, total: page.total };
}

function create(request) {
  const who = request.writer();
  const runbook = checked(request.json());
  const id = random.id();
  const at = clock.now();
  RUNBOOKS.insert(id, { ...runbook, text: searchable(runbook), created_at: at, updated_at: at, updated_by: who.name });
  return Response.json(shown(RUNBOOKS.require(id)), 201);
}

function change(request) {
  const who = request.writer();
  const id = request.param('id');
  const sent = request.json();
  const before = RUNBOOKS.require(id);
  const runbook = checked(sent);
  // Who edited an older version than the one that is there is told, and loses nothing.
  const version = typeof sent.version === 'number' ? sent.version : before.version;
  RUNBOOKS.replace(id, version, { ...runbook, text: searchable(runbook), created_at: before.data.created_at, updated_at: clock.now(), updated_by: who.name });
  return shown(RUNBOOKS.require(id));
}

/** Records that a runbook can run on. */
function records(request) {
  const { data } = RUNBOOKS.require(request.param('id'));
  const search = (request.query('search') ?? '').toLowerCase();
  const found = [];
  let cursor = null;
  // Labels are not one attribute in every model: so they are looked through here, page by page, until there are enough.
  for (let pages = 0; pages < 10 && found.length < 100; pages += 1) {
    const page = cmdb.query(data.model, { filter: data.filter, limit: 500, cursor }).page();
    for (const record of page.items) {
      const { status, env } = record.attributes;
      if (!search || record.label.toLowerCase().includes(search)) found.push({ id: record.id, label: record.label, status: status ?? null, env: env ?? null });
    }
    cursor = page.nextCursor;
    if (cursor === null) break;
  }
  return { items: found.slice(0, 100), more: found.length > 100 || cursor !== null };
}

/** Starts a step; the job goes on by itself. */
function start(id, runbook, number, instances, by, key) {
  const step = runbook.steps[number];
  if (!step) throw PlenumError.notFound('runbook.no_step', `${JSON.stringify(runbook.title)} has ${runbook.steps.length} steps; there is no step ${number}`);
  if (!Array.isArray(instances) || !instances.length || instances.length > MOST_TARGETS || !instances.every((i) => typeof i === 'string' && i)) {
    throw PlenumError.invalid('/instances', `choose 1 to ${MOST_TARGETS} records`);
  }
  const targets = instances.map((instance) => {
    const found = cmdb.get(runbook.model, instance);
    if (!found) throw PlenumError.notFound('runbook.no_record', `there is no ${runbook.model} ${instance} any more; choose again`);
    return { id: instance, label: found.label };
  });
  const execution = jobs.run({
    name: `${runbook.title}: ${step.title}`,
    script: { language: step.language, content: step.script },
    targets: jobs.Targets.instances(instances.map((instance) => [runbook.model, instance])),
    timeout_s: step.timeout_s,
    ...(key ? { key } : {}),
  });
  // The execution is the record's id too: a step that is asked for again with its key is not written twice.
  RUNS.put(execution.id, { runbook: id, title: runbook.title, step: number, name: step.title, execution: execution.id, targets, by, at: clock.now() });
  log.info('step started', { runbook: runbook.title, step: step.title, by, records: targets.length });
  return execution;
}

function runStep(request) {
  const who = request.writer();
  const id = request.param('id');
  const { instances, version } = request.json({ instances: 'array', version: 'number?' });
  const { data, version: now } = RUNBOOKS.require(id);
  // Nobody is to run a script that they did not see.
  if (typeof version === 'number' && version !== now) {
    throw PlenumError.conflict('runbook.changed', 'the runbook was changed since you opened it: read it again, then run the step');
  }
  const execution = start(id, data, Number(request.param('step')), instances, who.name, null);
  return Response.json(progress(execution.id), 202);
}

/** How far a step is, and what it printed. */
function progress(id) {
  const execution = jobs.get(id);
  if (!execution) throw PlenumError.notFound('runbook.no_run', `the job ${id} is not kept any more`);
  const results = jobs.results(id, null, 100).items.map((r) => ({
    node: r.nodeName,
    node_id: r.nodeId,
    status: r.status,
    reason: r.reason,
    exit_code: r.exitCode,
    duration_ms: r.durationMs,
    stdout: r.stdoutBytes ? jobs.outputText(id, r.nodeId, 'stdout', 65_536) : '',
    stderr: r.stderrBytes ? jobs.outputText(id, r.nodeId, 'stderr', 16_384) : '',
  }));
  const { name, status, total, pending, running, succeeded, failed } = execution;
  return { execution: id, name, status, total, pending, running, succeeded, failed, results };
}

const router = new Router()
  .get('/runbooks', list)
  .post('/runbooks', create)
  .get('/runbooks/{id}', (request) => shown(RUNBOOKS.require(request.param('id'))))
  .put('/runbooks/{id}', change)
  .delete('/runbooks/{id}', (request) => {
    request.writer();
    RUNBOOKS.delete(request.param('id'));
  })
  .get('/runbooks/{id}/records', records)
  .post('/runbooks/{id}/steps/{step}/run', runStep)
  .get('/runbooks/{id}/runs', (request) => {
    const page = RUNS.query({ filter: `runbook == ${cel(request.param('id'))}`, sort: '-at', limit: 20 }).page();
    return { items: page.items.map((d) => d.data), total: page.total };
  })
  .get('/runs/{execution}', (request) => progress(request.param('execution')));

/** The action: a step as a task of a workflow. */
function run({ runbook, step, instances }) {
  const found = RUNBOOKS.get(runbook) ?? RUNBOOKS.query({ filter: `title == ${cel(runbook)}`, limit: 1 }).page().items[0];
  if (!found) throw PlenumError.notFound('runbook.none', `there is no runbook ${JSON.stringify(runbook)}; give its id or its title`);
  const call = context.current();
  const execution = start(found.id, found.data, step, instances, call.user?.name ?? 'workflow', call.idempotencyKey);
  return { execution: execution.id, total: execution.total };
}

/** The examples, where no runbook of that title is there. */
function install() {
  for (const example of EXAMPLES) {
    const runbook = checked(example);
    if (RUNBOOKS.query({ filter: `title == ${cel(runbook.title)}` }).count()) continue;
    const at = clock.now();
    RUNBOOKS.insert(random.id(), { ...runbook, text: searchable(runbook), created_at: at, updated_at: at, updated_by: 'Plenum' });
  }
}

export default definePlugin({ http: router, actions: { run }, lifecycle: { install } });
