import { del, get, mayWrite, post, state } from './api.js';
import { add, dialog, h, put } from './dom.js';
import { t, tx, when } from './i18n.js';
import { counts, score, tag, trend } from './parts.js';

export async function start(id, go) {
  try {
    const report = await post(`/inspections/${id}/run`);
    await go(`reports/${report.id}`);
  } catch (error) { state.bridge.notify('error', error.message); }
}

/** One click: an inspection of every target of a template, started at once. */
export async function inspectAll(template, go) {
  for (let n = 1; ; n++) {
    try {
      const made = await post('/inspections', { name: n === 1 ? tx(template.title) : `${tx(template.title)} ${n}`, items: [{ template: template.id }] });
      await start(made.id, go);
      return;
    } catch (error) {
      // There is one of that name already: this is another.
      if (error.status === 422 && error.at?.('/name') && n < 20) continue;
      state.bridge.notify('error', error.message);
      return;
    }
  }
}

export async function inspections(main, { go }) {
  let page = await get('/inspections');
  const items = [...page.items];
  if (!items.length) {
    put(main, h('div', { class: 'head' }, h('h1', {}, t('Inspections'))), h('div', { class: 'panel empty' },
      h('svg', { viewBox: '0 0 24 24', fill: 'none', stroke: 'currentColor', 'stroke-width': 1.5, 'aria-hidden': 'true' }, h('path', { d: 'M9 4H6a1 1 0 0 0-1 1v15a1 1 0 0 0 1 1h5M15 4h3a1 1 0 0 1 1 1v4M9 3h6v3H9zM8 11h6M8 15h3' }), h('circle', { cx: 16, cy: 16, r: 3.5 }), h('path', { d: 'm18.600 18.600 2.600 2.600' })),
      h('h2', {}, t('No inspections yet')),
      h('p', {}, t('An inspection asks machines questions from a template, judges the answers and keeps the history. Start with “Linux baseline” on every host.')),
      mayWrite() && h('button', { class: 'btn primary', onclick: () => go('inspections/new') }, t('Create the first inspection'))));
    if (!mayWrite()) return null;
    const { items: known } = await get('/templates');
    add(main, [h('h2', {}, t('Or inspect everything with one click')), h('div', { class: 'cards' }, known.map((x) => h('div', { class: 'card still' }, h('div', { class: 'grow' }, h('strong', {}, tx(x.title)), h('p', {}, tx(x.description)), h('div', { class: 'row' },
      h('button', { class: 'btn small', onclick: (e) => { e.currentTarget.disabled = true; inspectAll(x, go); }, 'aria-label': `${t('Inspect all')}: ${tx(x.title)}` }, t('Inspect all')), h('small', { class: 'muted' }, t('{n} checks', { n: x.checks }), ' · ', x.model))))))]);
    return null;
  }
  const body = h('tbody');
  const more = h('button', { class: 'btn', onclick: async () => { page = await get(`/inspections?cursor=${encodeURIComponent(page.next_cursor)}`); items.push(...page.items); draw(); } }, t('Show more'));
  function draw() {
    put(body, items.map((item) => h('tr', {},
      h('th', { scope: 'row' }, h('button', { class: 'link', onclick: () => go(`inspections/${item.id}`) }, item.name), item.description && h('div', { class: 'muted' }, item.description)),
      h('td', { 'data-l': t('Score') }, item.last?.score !== undefined && item.last ? h('button', { class: 'link', onclick: () => go(`reports/${item.last.id}`), 'aria-label': `${t('Report')}: ${item.last.score ?? '–'}` }, score(item.last.score)) : score(null)),
      h('td', { 'data-l': t('Findings') }, item.last && item.last.status === 'finished' ? counts(item.last.counts) : item.last ? tag(item.last.status) : h('span', { class: 'muted' }, '–')),
      h('td', { 'data-l': t('Targets') }, item.last ? `${item.last.targets.inspected}/${item.last.targets.total}` : '–'),
      h('td', { 'data-l': t('Last run') }, item.last ? when(item.last.created_at) : t('never')),
      h('td', { 'data-l': t('Schedule') }, item.schedule ? h('span', { class: item.schedule.enabled ? 'mono' : 'mono muted', title: item.schedule.timezone }, item.schedule.cron) : h('span', { class: 'muted' }, t('by hand'))),
      h('td', {}, mayWrite() && h('button', { class: 'btn small', onclick: () => start(item.id, go), 'aria-label': `${t('Run now')}: ${item.name}` }, t('Run now'))))));
    more.hidden = !page.next_cursor;
  }
  draw();
  put(main, h('div', { class: 'head' }, h('h1', {}, t('Inspections')), mayWrite() && h('button', { class: 'btn primary', onclick: () => go('inspections/new') }, t('New inspection'))),
    h('div', { class: 'panel flush scroll' }, h('table', { class: 'cardy' }, h('thead', {}, h('tr', {}, ['Name', 'Score', 'Findings', 'Targets', 'Last run', 'Schedule', ''].map((x) => h('th', { scope: 'col' }, x ? t(x) : h('span', { class: 'sr' }, t('Actions')))))), body)), more);
  return null;
}

export async function inspection(main, { go, id, again }) {
  const [item, points, first] = await Promise.all([get(`/inspections/${id}`), get(`/inspections/${id}/trend?limit=60`), get(`/reports?inspection=${id}&limit=25`)]);
  let page = first;
  const list = [...page.items];
  const body = h('tbody');
  const more = h('button', { class: 'btn', onclick: async () => { page = await get(`/reports?inspection=${id}&limit=25&cursor=${encodeURIComponent(page.next_cursor)}`); list.push(...page.items); draw(); } }, t('Show more'));
  function draw() {
    put(body, list.map((r) => h('tr', {},
      h('th', { scope: 'row' }, h('button', { class: 'link', onclick: () => go(`reports/${r.id}`) }, when(r.created_at))),
      h('td', { 'data-l': t('Score') }, score(r.score)), h('td', { 'data-l': t('Status') }, tag(r.status)), h('td', { 'data-l': t('Findings') }, r.status === 'finished' ? counts(r.totals.counts) : '–'),
      h('td', { 'data-l': t('What changed') }, r.previous ? h('span', { class: 'muted' }, `+${r.totals.changes.new + r.totals.changes.worse} −${r.totals.changes.gone + r.totals.changes.better}`) : '–'),
      h('td', { 'data-l': t('Targets') }, `${r.totals.targets.inspected}/${r.totals.targets.total}`), h('td', { 'data-l': t('Started by') }, r.trigger === 'schedule' ? t('schedule') : r.started_by),
      h('td', {}, mayWrite() && ['finished', 'failed', 'cancelled'].includes(r.status) && h('button', { class: 'btn small danger', 'aria-label': `${t('Delete')} ${when(r.created_at)}`, onclick: async () => {
        if (await ask(t('Delete this report?'))) { try { await del(`/reports/${r.id}`); again(); } catch (e) { state.bridge.notify('error', e.message); } }
      } }, t('Delete'))))));
    more.hidden = !page.next_cursor;
  }
  draw();
  put(main,
    h('div', { class: 'head' }, h('div', {}, h('h1', {}, item.name), item.description && h('p', { class: 'muted' }, item.description),
      h('p', { class: 'muted' }, item.items.map((x) => `${x.template}${x.filter ? ` (${x.filter})` : ''}`).join(' · '), item.next_times?.length ? ` · ${t('Next: {time}', { time: when(Date.parse(item.next_times[0])) })}` : '')),
      mayWrite() && h('div', { class: 'row' }, h('button', { class: 'btn primary', onclick: () => start(id, go) }, t('Run now')), h('button', { class: 'btn', onclick: () => go(`inspections/${id}/edit`) }, t('Edit')),
        h('button', { class: 'btn danger', onclick: async () => { if (await ask(t('Delete this inspection and all its reports?'))) { try { await del(`/inspections/${id}`); go('inspections'); } catch (e) { state.bridge.notify('error', e.message); } } } }, t('Delete')))),
    points.items.length > 0 && h('section', { class: 'panel' }, h('h2', {}, t('Trend')), trend(points.items, (r) => go(`reports/${r}`))),
    h('section', { class: 'panel flush scroll' }, list.length ? h('table', { class: 'cardy' }, h('thead', {}, h('tr', {}, ['Report', 'Score', 'Status', 'Findings', 'What changed', 'Targets', 'Started by', ''].map((x) => h('th', { scope: 'col' }, x ? t(x) : h('span', { class: 'sr' }, t('Actions')))))), body)
      : h('div', { class: 'empty' }, h('h2', {}, t('No reports yet')), h('p', {}, t('Run it once to see a report here.')))), more);
  return null;
}

export function ask(title) {
  return dialog(title, h('p', { class: 'muted' }, t('This cannot be undone.')), { ok: t('Delete'), cancel: t('Cancel'), danger: true, submit: () => true });
}
