import { get, post, putJson, state } from './api.js';
import { dialog, field, h, later, put, say } from './dom.js';
import { t, tx, when } from './i18n.js';
import { start } from './views-inspections.js';

const EXAMPLES = { host: ['os_id == "debian"', 'env == "production"', 'hostname.startsWith("web")', 'memory_bytes > 8000000000'], default: ['version.startsWith("15")', 'port == 5432', 'status == "running"'] };
const zones = () => { try { return Intl.supportedValuesOf('timeZone'); } catch { return ['UTC', 'Asia/Shanghai', 'Europe/Berlin', 'America/New_York']; } };

/** A question before edits are lost. */
export const discard = async () => !!(await dialog(t('Unsaved changes'), h('p', { class: 'muted' }, t('Leave without saving?')), { ok: t('Leave'), cancel: t('Stay'), danger: true, submit: () => true }));

export async function editor(main, { go, id, from, alive, kept }) {
  const editing = id !== 'new' && id;
  const all = (await get('/templates')).items;
  const full = new Map();
  const load = async (tid) => { if (!full.has(tid)) full.set(tid, (await get(`/templates/${tid}`)).template); return full.get(tid); };
  const draft = { name: '', description: '', items: [], schedule: null, keep_reports: 30 };
  if (kept) Object.assign(draft, kept.draft);
  else if (editing) {
    const old = await get(`/inspections/${id}`);
    Object.assign(draft, { name: old.name, description: old.description, items: old.items, schedule: old.schedule, keep_reports: old.keep_reports, version: old.version });
  }
  const chosen = !editing && !kept && all.find((x) => x.id === from);
  if (chosen) Object.assign(draft, { name: tx(chosen.title), items: [{ template: chosen.id, filter: '', overrides: {} }] });
  let step = 0;
  let failure = null;
  let touched = kept?.touched ?? false;
  const box = h('div');
  const steps = ['What is inspected', 'Which ones', 'Thresholds', 'When'];
  const list = h('ol', { class: 'steps' });
  const foot = h('div', { class: 'row end' });
  const say_error = (pointer) => failure?.at(pointer);

  function wrong() {
    if (!draft.items.length) return t('Choose at least one template.');
    if (!draft.name.trim()) return t('Give it a name.');
    return '';
  }
  async function show(to) {
    step = to;
    put(list, steps.map((title, i) => h('li', {}, h('button', { type: 'button', 'aria-current': i === step ? 'step' : null, onclick: () => show(i) }, h('i', { 'aria-hidden': 'true' }, i + 1), h('span', {}, t(title))))));
    put(box, h('p', { class: 'loading' }, '…'));
    const content = await [what, which, thresholds, whenStep][step]();
    if (!alive()) return;
    put(box, failure && h('div', { class: 'problems', role: 'alert' }, h('strong', {}, failure.message), h('ul', {}, failure.errors.map((e) => h('li', {}, h('code', {}, e.pointer), ' ', e.message)))), content);
    put(foot, h('span', { class: 'grow sr' }, t('Step {n} of 4', { n: step + 1 })), h('button', { class: 'btn', type: 'button', onclick: () => go(editing ? `inspections/${id}` : 'inspections') }, t('Cancel')),
      step > 0 && h('button', { class: 'btn', type: 'button', onclick: () => show(step - 1) }, t('Back')),
      step < 3 && h('button', { class: `btn ${editing ? '' : 'primary'}`, type: 'button', onclick: () => show(step + 1) }, t('Next')),
      (editing || step === 3) && h('button', { class: 'btn', type: 'button', onclick: () => save(false) }, t('Save')),
      step === 3 && h('button', { class: 'btn primary', type: 'button', onclick: () => save(true) }, t('Save and run')));
    box.querySelector('input, textarea, select')?.focus({ preventScroll: true });
  }
  async function save(run) {
    const problem = wrong();
    if (problem) { state.bridge.notify('warning', problem); await show(0); return; }
    try {
      const saved = editing ? await putJson(`/inspections/${id}`, draft) : await post('/inspections', draft);
      touched = false;
      say(t('Saved'));
      if (run) await start(saved.id, go); else await go(`inspections/${saved.id}`);
    } catch (error) {
      failure = error;
      state.bridge.notify('error', error.message);
      const pointer = error.errors?.[0]?.pointer || '';
      await show(pointer.includes('/filter') ? 1 : pointer.includes('/overrides') ? 2 : pointer.startsWith('/schedule') ? 3 : pointer ? 0 : step);
    }
  }

  function what() {
    const name = h('input', { type: 'text', value: draft.name, maxlength: 120, oninput: (e) => { draft.name = e.target.value; touched = true; } });
    const cards = all.map((tpl) => h('label', { class: 'card' },
      h('input', { type: 'checkbox', checked: draft.items.some((x) => x.template === tpl.id), onchange: (e) => {
        touched = true;
        if (e.target.checked) {
          draft.items.push({ template: tpl.id, filter: '', overrides: {} });
          if (!draft.name) { draft.name = tx(tpl.title); name.value = draft.name; }
        } else draft.items = draft.items.filter((x) => x.template !== tpl.id);
      } }),
      h('span', {}, h('strong', {}, tx(tpl.title)), ' ', h('span', { class: 'tag' }, tpl.builtin ? t('built-in') : t('own')), h('p', {}, tx(tpl.description)), h('small', { class: 'muted' }, t('{n} checks', { n: tpl.checks }), ' · ', tpl.model))));
    return h('div', { class: 'panel' }, field(t('Name'), name, '', say_error('/name')),
      field(t('Description'), h('input', { type: 'text', value: draft.description, oninput: (e) => { draft.description = e.target.value; touched = true; } })),
      h('fieldset', { style: 'border:0;padding:0;margin:0' }, h('legend', { class: 'label' }, t('Choose templates')), h('div', { class: 'cards' }, cards)));
  }

  function which() {
    if (!draft.items.length) return h('p', { class: 'panel' }, t('Choose at least one template.'));
    return draft.items.map((item, at) => {
      const tpl = all.find((x) => x.id === item.template) || { title: item.template, model: 'host' };
      const out = h('div', { 'aria-live': 'polite' });
      const examples = EXAMPLES[tpl.model] || EXAMPLES.default;
      const input = h('input', { type: 'text', class: 'mono', value: item.filter, spellcheck: 'false', autocomplete: 'off', oninput: (e) => { item.filter = e.target.value; touched = true; look(); } });
      let turn = 0;
      const now = async () => {
        const mine = ++turn;
        try {
          const found = await post('/targets/preview', { template: item.template, filter: item.filter });
          if (mine !== turn) return;
          input.removeAttribute('aria-invalid');
          const total = found.total ?? found.items.length;
          put(out, h('p', {}, h('strong', {}, total ? t('matches {n}', { n: total }) : t('Nothing matches'))),
            total > 0 && h('div', { class: 'preview', tabindex: 0, role: 'group', 'aria-label': t('Targets') }, h('ul', {}, found.items.map((x) => h('li', {}, h('span', {}, x.label, ' ', h('span', { class: 'muted' }, x.hint)), h('span', { class: `tag ${x.state}` }, t(x.state))))),
              total > found.items.length && h('p', { class: 'hint', style: 'padding:4px 10px' }, t('and {n} more', { n: total - found.items.length }))));
        } catch (error) {
          if (mine !== turn) return;
          input.setAttribute('aria-invalid', 'true');
          put(out, h('p', { class: 'error' }, error.message));
        }
      };
      const look = later(now, 300);
      put(out, h('p', { class: 'muted' }, t('Looking…')));
      now();
      return h('section', { class: 'panel' }, h('h2', {}, tx(tpl.title)),
        field(t('Filter'), input, t('All of them when empty. Attributes of {model}, for example: {example}', { model: tpl.model, example: examples[0] }), say_error(`/items/${at}/filter`)),
        h('div', { class: 'chips' }, examples.map((x) => h('button', { type: 'button', class: 'chip', onclick: () => { input.value = x; item.filter = x; touched = true; now(); } }, x))), out);
    });
  }

  async function thresholds() {
    const parts = [];
    for (const item of draft.items) {
      const tpl = await load(item.template);
      const rows = tpl.checks.map((check) => checkRow(item, check));
      parts.push(h('section', { class: 'panel flush' }, h('h2', { style: 'padding:12px 14px 0' }, tx(tpl.title)), h('div', {}, rows)));
    }
    return parts.length ? parts : h('p', { class: 'panel' }, t('Choose at least one template.'));
  }

  function checkRow(item, check) {
    const own = () => (item.overrides[check.id] ||= {});
    const isOn = () => item.overrides[check.id]?.enabled ?? check.enabled ?? true;
    const row = h('div', { class: 'item', style: 'padding:9px 14px' });
    const tidy = () => {
      const o = item.overrides[check.id];
      if (o && o.enabled === undefined && !Object.keys(o.thresholds || {}).length && !Object.keys(o.params || {}).length) delete item.overrides[check.id];
      touched = true;
      mark();
    };
    const mark = () => { row.classList.toggle('changed', !!item.overrides[check.id]); row.classList.toggle('off', !isOn()); reset.hidden = !item.overrides[check.id]; };
    const inputs = check.thresholds.map((th) => {
      const name = th.id || th.level;
      const value = item.overrides[check.id]?.thresholds?.[name] ?? th.value;
      const number = typeof th.value === 'number';
      const shown = Array.isArray(value) ? value.join(', ') : value;
      return h('label', {}, h('span', { class: `tag ${th.level}` }, t(th.level)), h('span', { class: 'muted' }, `${th.field} ${th.op}`),
        h('input', { type: number ? 'number' : 'text', step: 'any', class: Array.isArray(th.value) ? 'wide' : '', value: shown, 'aria-label': `${tx(check.title)} ${t(th.level)} ${th.field} ${th.op}`, oninput: (e) => {
          let v = e.target.value;
          if (number) { if (v === '') return; v = Number(v); }
          if (Array.isArray(th.value)) v = v.split(',').map((x) => x.trim()).filter(Boolean).map((x) => (/^-?\d+(\.\d+)?$/.test(x) ? Number(x) : x));
          const o = own();
          o.thresholds ||= {};
          if (JSON.stringify(v) === JSON.stringify(th.value)) delete o.thresholds[name]; else o.thresholds[name] = v;
          tidy();
        } }));
    });
    const params = (check.params || []).map((p) => h('label', {}, tx(p.title), h('input', { type: 'text', class: 'wide', value: item.overrides[check.id]?.params?.[p.name] ?? p.default, oninput: (e) => {
      const o = own();
      o.params ||= {};
      if (e.target.value === p.default) delete o.params[p.name]; else o.params[p.name] = e.target.value;
      tidy();
    } })));
    const reset = h('button', { type: 'button', class: 'btn small', title: t('Changed from the template'), onclick: () => { delete item.overrides[check.id]; touched = true; row.replaceWith(checkRow(item, check)); } }, t('Reset'));
    row.append(h('div', { class: 'row' }, h('label', { class: 'row grow', style: 'margin:0' }, h('input', { type: 'checkbox', checked: isOn(), onchange: (e) => {
      if (e.target.checked === (check.enabled ?? true)) delete own().enabled; else own().enabled = e.target.checked;
      tidy();
    } }), h('span', { title: tx(check.description) }, tx(check.title))), reset), h('div', { class: 'thr' }, inputs, params));
    mark();
    return row;
  }

  function whenStep() {
    const s = draft.schedule || { cron: '0 6 * * *', timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC', enabled: true };
    const out = h('div', { 'aria-live': 'polite' });
    const cron = h('input', { type: 'text', class: 'mono', value: s.cron, oninput: (e) => { s.cron = e.target.value.trim(); touched = true; look(); } });
    const tz = h('input', { type: 'text', list: 'zones', value: s.timezone, onchange: (e) => { s.timezone = e.target.value.trim(); touched = true; now(); } });
    let turn = 0;
    const now = async () => {
      if (!draft.schedule) { put(out); return; }
      const mine = ++turn;
      try {
        const { times } = await post('/schedule/preview', { cron: s.cron, timezone: s.timezone });
        if (mine !== turn) return;
        cron.removeAttribute('aria-invalid');
        put(out, h('div', { class: 'label' }, t('Next five times')), h('ol', {}, times.map((x) => h('li', { class: 'mono' }, new Intl.DateTimeFormat(state.locale, { dateStyle: 'full', timeStyle: 'short', timeZone: s.timezone }).format(new Date(x))))));
      } catch (error) {
        if (mine !== turn) return;
        cron.setAttribute('aria-invalid', 'true');
        put(out, h('p', { class: 'error' }, error.message));
      }
    };
    const look = later(now, 300);
    const details = h('div', {},
      h('div', { class: 'grid2' }, field(t('Cron'), cron, t('minute hour day month weekday'), say_error('/schedule/cron')), field(t('Time zone'), tz)),
      h('datalist', { id: 'zones' }, zones().map((z) => h('option', { value: z }))),
      h('div', { class: 'chips' }, [['Every day at 6:00', '0 6 * * *'], ['Mondays at 6:00', '0 6 * * 1'], ['Every hour', '0 * * * *']].map(([title, line]) => h('button', { type: 'button', class: 'chip', onclick: () => { cron.value = line; s.cron = line; touched = true; now(); } }, t(title)))), out);
    const pick = (on) => { draft.schedule = on ? s : null; details.hidden = !on; touched = true; now(); };
    details.hidden = !draft.schedule;
    now();
    const radio = (on, title) => h('label', { class: 'row' }, h('input', { type: 'radio', name: 'when', checked: !!draft.schedule === on, onchange: () => pick(on) }), title);
    return h('div', { class: 'panel' }, h('fieldset', { style: 'border:0;padding:0;margin:0 0 10px' }, h('legend', { class: 'sr' }, t('Schedule')), radio(false, t('Not by itself')), radio(true, t('On a schedule'))), details,
      h('div', { style: 'max-width:200px;margin-top:12px' }, field(t('Reports to keep'), h('input', { type: 'number', min: 1, max: 1000, value: draft.keep_reports, oninput: (e) => { if (e.target.value) { draft.keep_reports = Number(e.target.value); touched = true; } } }), '', say_error('/keep_reports'))));
  }

  put(main, h('div', { class: 'head' }, h('h1', {}, editing ? `${t('Edit inspection')}: ${draft.name}` : t('New inspection'))), list, box, foot);
  await show(kept?.step ?? (chosen ? 1 : 0));
  return { ask: () => !touched || discard(), keep: () => ({ draft, step, touched }) };
}
