import { api, state } from './api.js';
import { h, put, say } from './dom.js';
import { t } from './i18n.js';
import { editor } from './views-editor.js';
import { inspection, inspections } from './views-inspections.js';
import { report } from './views-report.js';
import { template, templates } from './views-templates.js';

const app = document.getElementById('app');
let leave = null;
let turn = 0;

/** Shows a place: `inspections`, `inspections/new`, `inspections/new/<template>`, `inspections/<id>`, `inspections/<id>/edit`, `reports/<id>`, `templates`, `templates/<id>`. */
export async function go(path, replaced, kept) {
  if (!kept && leave?.ask && !(await leave.ask())) { state.bridge.setPath(state.path); return; }
  leave?.stop?.();
  leave = null;
  const mine = ++turn;
  const parts = (path || '').split('/').filter(Boolean);
  state.path = parts.join('/');
  if (!replaced) state.bridge.setPath(state.path);
  const main = h('main', { id: 'main', tabindex: -1 }, h('p', { class: 'loading', role: 'status' }, '…'));
  const here = parts[0] === 'templates' ? 'templates' : 'inspections';
  const tab = (id, title) => h('button', { type: 'button', 'aria-current': here === id ? 'page' : null, onclick: () => go(id) }, title);
  put(app, h('nav', { class: 'nav', 'aria-label': t('Inspection Center') }, tab('inspections', t('Inspections')), tab('templates', t('Templates'))), main);
  try {
    const [kind, id, what] = parts;
    const view = kind === 'templates' ? (id ? template : templates) : kind === 'reports' && id ? report : kind === 'inspections' && (id === 'new' || what === 'edit') ? editor : id ? inspection : inspections;
    const made = await view(main, { go, id, from: what, again: () => go(path, true), alive: () => mine === turn, kept });
    if (mine === turn) leave = made || null;
    else made?.stop?.();
  } catch (error) {
    if (mine !== turn) return;
    put(main, h('div', { class: 'panel empty' }, h('h1', {}, t('Could not load')), h('p', {}, error.message), h('button', { class: 'btn', onclick: () => go(path, true) }, t('Try again'))));
  }
  if (mine === turn) {
    const title = main.querySelector('h1');
    if (title) { title.tabIndex = -1; if (!replaced) title.focus({ preventScroll: true }); say(title.textContent); document.title = title.textContent; }
  }
}

/** The same place in another language: what was typed there stays. */
function again() {
  return go(state.path, true, leave?.keep?.());
}

function dress(context) {
  const changed = state.locale !== (context.locale || 'en');
  state.locale = context.locale || 'en';
  state.user = context.user;
  document.documentElement.lang = state.locale;
  document.documentElement.dataset.theme = context.theme === 'dark' ? 'dark' : 'light';
  for (const [name, value] of Object.entries(context.tokens || {})) document.documentElement.style.setProperty(name, value);
  return changed;
}

/** The one place that knows the bridge's words. */
async function connect() {
  const p = await window.plenum.connect();
  // Answers come as {status, body} or as the parsed body, failures as answers or as errors with a status: both are turned into the first.
  const request = async (method, path, body) => {
    const asText = (x) => (typeof x === 'string' ? x : JSON.stringify(x ?? null));
    try {
      const r = await p.http[method.toLowerCase()](path, body);
      return r && typeof r.status === 'number' && 'body' in r ? { status: r.status, body: asText(r.body) } : { status: 200, body: asText(r) };
    } catch (error) {
      if (typeof error?.status !== 'number') throw error;
      return { status: error.status, body: asText(error.body ?? error.problem ?? { detail: error.message, errors: error.errors }) };
    }
  };
  state.bridge = {
    request,
    subscribe: (types, fn) => p.events.subscribe(types, fn),
    navigate: (to) => p.navigate(to),
    setPath: (path) => p.setPath(path),
    notify: (level, text) => p.notify(level, text),
    download: (name, mime, content) => p.download(name, mime, content),
  };
  (p.onContext || p.onContextChange)?.call(p, (context) => { if (dress(context)) again(); else if (context.path !== undefined && context.path !== state.path) go(context.path, true); });
  dress(p.context);
  await go(p.context.path || '', true);
}

connect().catch((error) => put(app, h('p', { class: 'loading', role: 'alert' }, error.message)));
export { api };
