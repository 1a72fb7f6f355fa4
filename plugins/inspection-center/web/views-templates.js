import { del, get, mayWrite, post, putJson, state } from './api.js';
import { dialog, field, h, later, put, tabs } from './dom.js';
import { t, tx, when } from './i18n.js';
import { tag } from './parts.js';
import { discard } from './views-editor.js';
import { ask, inspectAll } from './views-inspections.js';

export async function templates(main, { go }) {
  const { items } = await get('/templates');
  put(main, h('div', { class: 'head' }, h('h1', {}, t('Templates'))),
    h('div', { class: 'panel flush scroll' }, h('table', { class: 'cardy' }, h('thead', {}, h('tr', {}, ['Name', 'Model', 'Check', 'Status', 'Actions'].map((x) => h('th', { scope: 'col' }, x && t(x))))), h('tbody', {}, items.map((x) => h('tr', {},
      h('th', { scope: 'row' }, h('button', { class: 'link', onclick: () => go(`templates/${x.id}`) }, tx(x.title)), h('div', { class: 'muted' }, tx(x.description))), h('td', { 'data-l': t('Model') }, h('code', {}, x.model)), h('td', { 'data-l': t('Check') }, x.checks),
      h('td', {}, h('span', { class: 'tag' }, x.builtin ? t('built-in') : t('own')), x.updated_at ? h('div', { class: 'muted' }, when(x.updated_at)) : ''), h('td', {}, mayWrite() && h('div', { class: 'row' }, h('button', { class: 'btn small', 'aria-label': `${t('Inspect all')}: ${tx(x.title)}`, onclick: (e) => { e.currentTarget.disabled = true; inspectAll(x, go); } }, t('Inspect all')), h('button', { class: 'btn small', 'aria-label': `${t('New inspection')}: ${tx(x.title)}`, onclick: () => go(`inspections/new/${x.id}`) }, t('Inspect some…')), h('button', { class: 'btn small', 'aria-label': `${t('Copy')}: ${tx(x.title)}`, onclick: () => copy(x.id, tx(x.title), go) }, t('Copy'))))))))));
  return null;
}

async function copy(id, title, go) {
  const newId = h('input', { type: 'text', value: `${id}-copy`, pattern: '[a-z0-9\\-]{2,60}', required: true });
  const name = h('input', { type: 'text', value: `${title} 2` });
  const answer = await dialog(t('Copy template'), h('div', {}, field(t('Id of the copy'), newId, 'a-z 0-9 -'), field(t('Title'), name)), { ok: t('Copy'), cancel: t('Cancel'), submit: () => ({ id: newId.value.trim(), title: name.value.trim() }) });
  if (!answer) return;
  try { const made = await post(`/templates/${id}/copy`, answer); await go(`templates/${made.template.id}`); } catch (e) { state.bridge.notify('error', e.message); }
}

export async function template(main, { go, id, kept }) {
  const entry = await get(`/templates/${id}`);
  let { source, model, version, dirty, tab } = kept ?? { source: entry.source, model: entry.template, version: entry.version, dirty: null, tab: 'form' };
  const body = h('div');
  const bar = h('div');
  const status = h('div', { 'aria-live': 'polite' });
  const saveButton = h('button', { class: 'btn primary', disabled: !dirty, onclick: () => save() }, t('Save'));
  const touch = (what) => { dirty = what; saveButton.disabled = false; };
  const problems = (list) => put(status, list.length ? h('div', { class: 'problems' }, h('strong', {}, t('{n} problems', { n: list.length })), h('ul', {}, list.map((p) => h('li', {}, h('code', {}, p.pointer || '/'), ' ', p.message)))) : h('p', { class: 'tag ok' }, t('Valid')));
  const check = later(async () => {
    try { const out = await post('/templates/validate', dirty === 'yaml' ? { source } : { template: model }); problems(out.errors || []); if (out.ok) { if (dirty === 'yaml') model = out.template; else source = out.source; } } catch (e) { put(status, h('p', { class: 'error' }, e.message)); }
  }, 400);
  async function save() {
    try {
      const saved = await putJson(`/templates/${id}`, { ...(dirty === 'yaml' ? { source } : { template: model }), version });
      source = saved.source; model = saved.template; version = saved.version; dirty = null; saveButton.disabled = true;
      state.bridge.notify('success', t('Saved'));
      show();
    } catch (e) { problems(e.errors?.length ? e.errors : [{ pointer: '', message: e.message }]); state.bridge.notify('error', e.message); }
  }
  function show() {
    put(bar, tabs([{ id: 'form', title: entry.builtin ? t('Check') : t('Form'), count: model.checks.length }, { id: 'yaml', title: 'YAML' }], tab, (to) => { tab = to; show(); }));
    put(body, tab === 'yaml' ? yaml() : entry.builtin ? checksView() : form());
  }
  function yaml() {
    return h('textarea', { class: 'yaml', value: source, readonly: entry.builtin, spellcheck: 'false', 'aria-label': 'YAML', oninput: (e) => { source = e.target.value; touch('yaml'); check(); } });
  }
  function checksView() {
    return h('section', { class: 'panel flush' }, model.checks.map((c) => h('details', { class: 'item' }, h('summary', { style: 'padding:9px 12px;cursor:pointer' }, h('strong', {}, tx(c.title)), ' ', h('span', { class: 'muted' }, tx(model.categories?.find((x) => x.id === c.category)?.title))),
      h('div', { class: 'body' }, h('p', {}, tx(c.description)), h('p', { class: 'advice' }, h('strong', {}, `${t('Advice')}: `), tx(c.advice)), h('ul', { class: 'msgs' }, c.thresholds.map((th) => h('li', {}, tag(th.level), ' ', h('code', {}, `${th.field} ${th.op} ${JSON.stringify(th.value)}`)))), h('pre', { tabindex: 0 }, c.command)))));
  }
  function form() {
    const set = (obj, key, kind) => (e) => { obj[key] = kind === 'number' ? Number(e.target.value) : e.target.value; touch('form'); check(); };
    const both = (title, obj, key) => h('div', { class: 'grid2' }, field(`${title} (${t('English')})`, h('input', { type: 'text', value: (obj[key] ||= { en: '', zh: '' }).en, oninput: set(obj[key], 'en') })), field(`${title} (${t('Chinese')})`, h('input', { type: 'text', value: obj[key].zh, oninput: set(obj[key], 'zh') })));
    const checkForm = (c, at) => h('details', { class: 'item', open: c.fresh }, h('summary', { style: 'padding:9px 12px;cursor:pointer' }, h('strong', {}, tx(c.title) || c.id)),
      h('div', { class: 'body' },
        h('div', { class: 'grid2' }, field(t('Check id'), h('input', { type: 'text', class: 'mono', value: c.id, oninput: set(c, 'id') })), field(t('Category'), h('select', { onchange: set(c, 'category') }, [{ id: '', title: '–' }, ...(model.categories || [])].map((x) => h('option', { value: x.id, selected: x.id === c.category }, tx(x.title)))))),
        both(t('Title'), c, 'title'), both(t('Description'), c, 'description'), both(t('Advice'), c, 'advice'),
        h('div', { style: 'max-width:200px' }, field(t('Timeout (seconds)'), h('input', { type: 'number', min: 1, max: 300, value: c.timeout, oninput: set(c, 'timeout', 'number') }))),
        field(t('Command'), h('textarea', { rows: 8, value: c.command, spellcheck: 'false', oninput: set(c, 'command') })),
        h('div', { class: 'label' }, t('Thresholds')),
        c.thresholds.map((th) => h('div', { class: 'thr', style: 'margin-bottom:8px' },
          h('select', { 'aria-label': t('Level'), style: 'width:auto', onchange: set(th, 'level') }, ['fatal', 'warning', 'notification'].map((x) => h('option', { value: x, selected: x === th.level }, t(x)))),
          h('input', { type: 'text', class: 'mono', style: 'width:150px', 'aria-label': t('Field'), value: th.field, oninput: set(th, 'field') }),
          h('select', { 'aria-label': t('Comparison'), style: 'width:auto', onchange: set(th, 'op') }, ['>', '>=', '<', '<=', '==', '!=', 'in', 'not_in', 'contains', 'not_contains'].map((x) => h('option', { value: x, selected: x === th.op }, x))),
          h('input', { type: 'text', class: 'mono wide', 'aria-label': t('Value'), value: typeof th.value === 'string' ? th.value : JSON.stringify(th.value), oninput: (e) => { try { th.value = JSON.parse(e.target.value); } catch { th.value = e.target.value; } touch('form'); check(); } }),
          h('input', { type: 'text', class: 'wide', style: 'flex:1 1 240px', 'aria-label': `${t('Message')} (${t('English')})`, value: (typeof th.message === 'string' ? (th.message = { en: th.message, zh: '' }) : th.message).en, oninput: set(th.message, 'en') }), h('input', { type: 'text', class: 'wide', style: 'flex:1 1 240px', 'aria-label': `${t('Message')} (${t('Chinese')})`, placeholder: t('Chinese'), value: th.message.zh || '', oninput: set(th.message, 'zh') }))),
        h('button', { type: 'button', class: 'btn small danger', onclick: () => { model.checks.splice(at, 1); touch('form'); check(); show(); } }, t('Remove'))));
    return [h('p', { class: 'muted' }, t('Saving the form writes new YAML: its comments are lost.')),
      h('section', { class: 'panel' }, both(t('Title'), model, 'title'), both(t('Description'), model, 'description')),
      h('section', { class: 'panel flush' }, model.checks.map(checkForm)),
      h('button', { type: 'button', class: 'btn', onclick: () => {
        model.checks.push({ id: `check-${model.checks.length + 1}`, category: '', title: { en: 'New check', zh: '新检查项' }, description: { en: '', zh: '' }, advice: { en: '', zh: '' }, timeout: 10, command: 'echo 0\n', parse: { kind: 'number' }, thresholds: [{ level: 'warning', field: 'value', op: '>', value: 0, message: { en: 'found {value}', zh: '发现 {value}' } }] });
        touch('form'); check(); show();
      } }, t('Add check'))];
  }
  put(main, h('div', { class: 'head' }, h('div', {}, h('h1', {}, tx(model.title), ' ', h('span', { class: 'tag' }, entry.builtin ? t('built-in') : t('own'))), h('p', { class: 'muted' }, tx(model.description)), entry.builtin && h('p', { class: 'muted' }, t('Built-in templates are read-only. Copy this one to change it.'))),
    mayWrite() && h('div', { class: 'row' }, !entry.builtin && saveButton, h('button', { class: 'btn', onclick: () => copy(id, tx(model.title), go) }, t('Copy')), !entry.builtin && h('button', { class: 'btn danger', onclick: async () => { if (await ask(t('Delete this template?'))) { try { await del(`/templates/${id}`); dirty = null; go('templates'); } catch (e) { state.bridge.notify('error', e.message); } } } }, t('Delete')))),
  status, bar, body);
  show();
  if (dirty) check();
  return { ask: () => !dirty || discard(), keep: () => ({ source, model, version, dirty, tab }) };
}
