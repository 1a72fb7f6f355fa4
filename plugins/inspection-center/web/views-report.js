import { del, get, mayWrite, post, raw, state } from './api.js';
import { h, later, paged, put, tabs, throttled } from './dom.js';
import { t, tx, when } from './i18n.js';
import { LEVELS, counts, gauge, score, tag } from './parts.js';
import { ask, start } from './views-inspections.js';

const OVER = ['finished', 'failed', 'cancelled'];
const ORDER = ['fatal', 'warning', 'notification', 'error', 'ok', 'skipped', 'not_applicable'];
const EVENTS = ['plenum.job.target.finished', 'plenum.job.execution.started', 'plenum.job.execution.finished', 'plenum.workflow.run.finished', 'plenum.workflow.task.changed'];

export async function report(main, { go, id, again, alive, kept }) {
  const data = await get(`/reports/${id}`);
  if (!OVER.includes(data.status)) return follow(main, data, { go, id, again, alive });
  return draw(main, data, { go, id, kept });
}

function top(data, go, buttons) {
  return h('div', { class: 'head' }, h('div', {}, h('p', { class: 'muted' }, h('button', { class: 'link', onclick: () => go(`inspections/${data.inspection}`) }, `← ${data.name}`)),
    h('h1', {}, data.name, ' ', tag(data.status)),
    h('p', { class: 'muted' }, t('Started {time}', { time: when(data.created_at) }), data.finished_at ? ` · ${t('took {s} s', { s: ((data.finished_at - data.created_at) / 1000).toFixed(1) })}` : '', data.trigger === 'schedule' ? ` · ${t('schedule')}` : data.started_by ? ` · ${data.started_by}` : '')),
  h('div', { class: 'row' }, data.run && h('button', { class: 'btn', onclick: () => state.bridge.navigate(`/runs/${data.run}`) }, t('Open the workflow')), buttons));
}

/** While it runs: a line for each target, redrawn when an event says that something ended. */
async function follow(main, data, { go, id, again, alive }) {
  const bar = h('i', { style: 'width:0' });
  const progress = h('div', { class: 'bar', role: 'progressbar', 'aria-label': t('Progress'), 'aria-valuemin': 0, 'aria-valuemax': 100 }, bar);
  const text = h('p', { role: 'status' }, t('Planning: finding the targets'));
  const body = h('tbody');
  const rest = h('p', { class: 'hint', style: 'padding:6px 12px' });
  const stopButton = h('button', { class: 'btn danger', onclick: async () => { stopButton.disabled = true; try { await post(`/reports/${id}/cancel`); again(); } catch (e) { state.bridge.notify('error', e.message); stopButton.disabled = false; } } }, t('Stop'));
  put(main, top(data, go, mayWrite() && stopButton), h('section', { class: 'panel' }, text, progress), h('section', { class: 'panel flush' }, h('table', {}, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, t('Targets')), h('th', { scope: 'col' }, t('Status')))), body), rest));
  let busy = false;
  let missed = false;
  let execution = '';
  const look = async () => {
    if (busy) { missed = true; return; }
    busy = true;
    try {
      const now = await get(`/reports/${id}/progress${execution ? `?execution=${encodeURIComponent(execution)}` : ''}`);
      if (!alive()) return;
      if (OVER.includes(now.status)) { stop(); again(); return; }
      main.querySelector('h1 .tag')?.replaceWith(tag(now.status));
      const percent = now.total ? Math.round((100 * now.done) / now.total) : 0;
      bar.style.width = `${percent}%`;
      progress.setAttribute('aria-valuenow', percent);
      text.textContent = now.total ? t('{a} of {b} done', { a: now.done, b: now.total }) : t('Planning: finding the targets');
      put(body, now.targets.map((x) => h('tr', {}, h('th', { scope: 'row' }, x.label), h('td', {}, h('span', { class: `tag ${x.state}` }, t(x.state)), x.reason && h('span', { class: 'muted' }, ` ${x.reason}`)))));
      rest.textContent = now.total > now.targets.length ? t('and {n} more', { n: now.total - now.targets.length }) : '';
    } catch (error) { if (alive()) text.textContent = error.message; } finally {
      busy = false;
      if (missed) { missed = false; soon(); }
    }
  };
  const soon = throttled(look, 700);
  let off = null;
  const heard = (event) => {
    // Jobs name the run that started them; the newest is the one that is asked now.
    const origin = event?.data?.origin;
    if (data.run && typeof origin === 'string' && origin.includes(data.run) && event.data.execution_id) execution = event.data.execution_id;
    soon();
  };
  try { off = await state.bridge.subscribe(EVENTS, heard); } catch { /* events not granted: the timer below does it */ }
  // Events may be lost on a reconnect; a slow look now and then makes sure of the end.
  const timer = setInterval(look, 4000);
  const stop = () => { clearInterval(timer); if (typeof off === 'function') off(); };
  look();
  return { stop };
}

function draw(main, data, { go, id, kept }) {
  const totals = data.totals;
  const c = totals.counts;
  const body = h('div');
  let { tab, rank } = kept ?? { tab: 'targets', rank: '' };
  const level = (name, n, r) => h('button', { type: 'button', class: `level ${name}`, 'aria-pressed': String(rank === r), onclick: (e) => { rank = rank === r ? '' : r; for (const b of e.currentTarget.parentNode.querySelectorAll('button')) b.setAttribute('aria-pressed', 'false'); e.currentTarget.setAttribute('aria-pressed', String(rank === r)); tab = 'targets'; show(); } }, h('b', {}, n), h('span', {}, t(name)));
  const still = (name, n) => h('div', { class: `level ${name}` }, h('b', {}, n), h('span', {}, t(name)));
  const missing = totals.targets.total - totals.targets.inspected;
  const file = (ext, mime) => async () => {
    try { state.bridge.download(`inspection-${id}.${ext}`, mime, await raw('GET', `/reports/${id}/export.${ext}?locale=${state.locale}`)); } catch (e) { state.bridge.notify('error', e.message); }
  };
  const bar = h('div');
  const changed = totals.changes.new + totals.changes.worse + totals.changes.better + totals.changes.gone;
  function show() {
    put(bar, tabs([{ id: 'targets', title: t('By target'), count: totals.targets.total }, { id: 'checks', title: t('By check') }, { id: 'changes', title: t('What changed'), count: changed }], tab, (to) => { tab = to; show(); }));
    put(body, h('p', { class: 'loading' }, '…'));
    const view = { targets: byTarget, checks: byCheck, changes: changesView }[tab];
    Promise.resolve(view(data, id, rank)).then((el) => put(body, el)).catch((e) => put(body, h('p', { class: 'error' }, e.message)));
  }
  put(main, top(data, go, [mayWrite() && h('button', { class: 'btn primary', onclick: () => start(data.inspection, go) }, t('Run now')), h('button', { class: 'btn', onclick: file('html', 'text/html') }, t('Export HTML')), h('button', { class: 'btn', onclick: file('csv', 'text/csv') }, t('Export CSV')),
    mayWrite() && h('button', { class: 'btn danger', onclick: async () => { if (await ask(t('Delete this report?'))) { try { await del(`/reports/${id}`); go(`inspections/${data.inspection}`); } catch (e) { state.bridge.notify('error', e.message); } } } }, t('Delete'))]),
  data.problems?.length > 0 && h('div', { class: 'banner', role: 'alert' }, data.problems.map((p) => h('p', {}, tx(p)))),
  h('section', { class: 'panel sum', 'aria-label': t('Score') }, gauge(data.score),
    h('div', { class: 'levels' }, level('fatal', c.fatal, '0'), level('warning', c.warning, '1'), level('notification', c.notification, '2'), still('ok', c.ok), still('skipped', c.skipped + c.not_applicable), still('error', c.error)),
    h('p', {}, t('{a} of {b} targets inspected', { a: totals.targets.inspected, b: totals.targets.total }), missing > 0 && h('span', { class: 'row' }, ['offline', 'no_agent', 'timed_out', 'failed', 'cancelled'].filter((k) => totals.targets[k] > 0).map((k) => h('span', { class: `tag ${k}` }, `${totals.targets[k]} ${t(k)}`))))),
  bar, body);
  show();
  return { keep: () => ({ tab, rank }) };
}

function checkOf(data, plan, check) {
  return data.plans.find((p) => p.index === plan)?.template.checks.find((x) => x.id === check);
}

async function byTarget(data, id, rank) {
  const list = h('div', { class: 'panel flush' });
  let page;
  let query = '';
  const more = h('button', { class: 'btn', onclick: () => load(page.next_cursor) }, t('Show more'));
  let turn = 0;
  async function load(cursor) {
    const mine = ++turn;
    const p = new URLSearchParams({ limit: '50' });
    if (rank !== '') p.set('rank', rank);
    if (query) p.set('search', query);
    if (cursor) p.set('cursor', cursor);
    const found = await get(`/reports/${id}/targets?${p}`);
    // Somebody typed on meanwhile: the answer to the older question is not shown over the newer one's.
    if (mine !== turn) return;
    page = found;
    const rows = page.items.map((x) => targetRow(data, id, x, page.items.length === 1 && !cursor));
    if (cursor) list.append(...rows); else put(list, rows.length ? rows : h('p', { class: 'empty muted' }, t('Nothing matches')));
    more.hidden = !page.next_cursor;
  }
  const search = h('input', { type: 'search', placeholder: t('Search targets'), 'aria-label': t('Search targets'), oninput: later((e) => { query = e.target.value; load(); }, 300), style: 'max-width:280px;margin-bottom:10px' });
  await load();
  return [search, list, more];
}

function fold(head, fill, open, cls) {
  const body = h('div', { class: 'body', hidden: true });
  let filled = false;
  const button = h('button', { type: 'button', class: 'fold', 'aria-expanded': 'false', onclick: () => toggle() }, head);
  const toggle = async () => {
    const now = body.hidden;
    body.hidden = !now;
    button.setAttribute('aria-expanded', String(now));
    if (now && !filled) {
      filled = true;
      put(body, h('p', { class: 'muted' }, '…'));
      try { put(body, await fill()); } catch (e) { filled = false; put(body, h('p', { class: 'error' }, e.message)); }
    }
  };
  if (open) toggle();
  return h('div', { class: cls || 'item' }, button, body);
}

function targetRow(data, id, target, open) {
  const plan = data.plans.find((p) => p.index === target.plan);
  const head = [score(target.score), h('strong', { class: 'grow' }, target.label, h('span', { class: 'muted', style: 'font-weight:400' }, `  ${tx(plan?.template.title)}`)), target.state === 'inspected' ? counts(target.counts) : h('span', { class: `tag ${target.state}` }, t(target.state))];
  return fold(head, () => {
    if (target.state !== 'inspected') return h('p', {}, tx(target.reason));
    let proof = null;
    const evidence = async (check) => { proof ||= get(`/reports/${id}/targets/${target.index}/evidence`); return (await proof).checks.find((x) => x.check === check); };
    const sorted = [...target.results].sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
    const bad = sorted.filter((r) => LEVELS.includes(r.status) || r.status === 'error');
    const rest = sorted.filter((r) => !bad.includes(r));
    return [bad.map((r) => resultRow(data, target, r, evidence)), rest.length > 0 && h('details', {}, h('summary', { class: 'muted', style: 'cursor:pointer;padding:6px 0' }, `${t('OK')}, ${t('Skipped')} (${rest.length})`), rest.map((r) => resultRow(data, target, r, evidence)))];
  }, open);
}

function resultRow(data, target, result, evidence) {
  const check = checkOf(data, target.plan, result.check);
  const first = result.items?.[0];
  const line = first ? tx(first.message) + (result.items.length + (result.more || 0) > 1 ? ` (+${result.items.length + (result.more || 0) - 1})` : '') : tx(result.value);
  return fold([tag(result.status), h('span', { class: 'grow' }, h('strong', {}, tx(check?.title) || result.check), ' ', h('span', { class: 'muted' }, line))], async () => {
    const raw_words = await evidence(result.check);
    const out = [raw_words?.stdout, raw_words?.stderr].filter(Boolean).join('\n').trimEnd();
    return [check && h('p', { class: 'muted' }, tx(check.description)), result.items?.length > 0 && h('ul', { class: 'msgs' }, result.items.map((i) => h('li', {}, tag(i.level), ' ', tx(i.message))), result.more > 0 && h('li', {}, `+${result.more}`)),
      result.items?.length > 0 && check?.advice && h('p', { class: 'advice' }, h('strong', {}, `${t('Advice')}: `), tx(check.advice)),
      h('div', { class: 'label' }, t('Evidence'), h('span', { class: 'muted' }, raw_words ? ` · ${t('exit code {n}', { n: raw_words.exit_code })} · ${result.duration_ms} ms` : '')),
      h('pre', { tabindex: 0 }, out || t('no output'), raw_words?.truncated && `\n… ${t('the rest was cut')}`),
      check && h('details', {}, h('summary', { class: 'muted', style: 'cursor:pointer' }, t('Command')), h('pre', { tabindex: 0 }, check.command))];
  }, false, `res ${result.status}`);
}

function byCheck(data, id) {
  return data.plans.map((plan) => {
    const rows = plan.template.checks.map((check) => {
      const n = data.totals.checks.find((x) => x.plan === plan.index && x.check === check.id)?.counts || {};
      const worst = ORDER.find((s) => n[s] > 0) || 'not_applicable';
      return { check, n, worst };
    }).sort((a, b) => ORDER.indexOf(a.worst) - ORDER.indexOf(b.worst));
    const line = ({ label, result }) => h('tr', {}, h('th', { scope: 'row' }, label), h('td', {}, tag(result.status)), h('td', {}, result.items?.length ? result.items.map((i) => h('div', {}, tx(i.message))) : tx(result.value)));
    const pages = (check, all) => paged((cursor) => get(`/reports/${id}/checks/${plan.index}/${encodeURIComponent(check.id)}?limit=50&all=${all}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`),
      (items) => h('table', {}, h('tbody', {}, items.map(line))), h('p', { class: 'muted' }, t('No findings')), t('Show more'));
    return h('section', { class: 'panel flush' }, h('h2', { style: 'padding:12px 14px 4px' }, tx(plan.template.title)), rows.map(({ check, n, worst }) => fold([tag(worst), h('strong', { class: 'grow' }, tx(check.title)), counts(n.fatal || n.warning || n.notification ? n : {}), n.ok > 0 && h('span', { class: 'muted' }, `${n.ok} ${t('OK')}`)], async () => {
      const out = h('div', {}, await pages(check, false));
      const others = h('button', { type: 'button', class: 'btn small', onclick: async () => { others.remove(); try { put(out, await pages(check, true)); } catch (e) { put(out, h('p', { class: 'error' }, e.message)); } } }, t('All targets'));
      return [h('p', { class: 'muted' }, tx(check.description)), check.advice && h('p', { class: 'advice' }, h('strong', {}, `${t('Advice')}: `), tx(check.advice)), out, others];
    })));
  });
}

async function changesView(data, id) {
  if (!data.previous) return h('p', { class: 'panel' }, t('This is the first report: there is nothing to compare with.'));
  const order = ['new', 'worse', 'better', 'gone'];
  const line = (x, change) => h('tr', {},
    h('td', {}, h('span', { class: `tag ${change.change === 'new' || change.change === 'worse' ? 'failed' : 'ok'}` }, t(change.change))), h('td', {}, change.before && tag(change.before), change.before && change.after && ' → ', change.after && tag(change.after)),
    h('th', { scope: 'row' }, x.label), h('td', {}, h('strong', {}, tx(checkOf(data, x.plan, change.check)?.title) || change.check), ' ', tx(change.message)));
  const rows = (items) => items.flatMap((x) => [...x.changes].sort((a, b) => order.indexOf(a.change) - order.indexOf(b.change)).map((change) => line(x, change)));
  return h('section', { class: 'panel flush scroll' }, await paged((cursor) => get(`/reports/${id}/changes?limit=50${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`),
    (items) => h('table', { class: 'cardy' }, h('tbody', {}, rows(items))), h('p', { style: 'padding:14px' }, t('Nothing changed since the last report.')), t('Show more')));
}
