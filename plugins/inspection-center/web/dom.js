// A few lines instead of a framework: the page has a dozen views and no state that outlives one.

/** Makes an element. `on*` properties are listeners; no inline handlers, so the content security policy can forbid them. */
export function h(tag, props, ...children) {
  const el = tag === 'svg' || svgTags.has(tag) ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name === 'class') el.setAttribute('class', value);
    else if (name === 'value' || name === 'checked' || name === 'disabled' || name === 'open' || name === 'selected') el[name] = value;
    else el.setAttribute(name, value === true ? '' : value);
  }
  add(el, children);
  return el;
}
const svgTags = new Set(['path', 'circle', 'line', 'g', 'polyline', 'rect', 'text', 'title']);

export function add(el, children) {
  for (const child of [children].flat(9)) {
    if (child === null || child === undefined || child === false || child === '') continue;
    el.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return el;
}

export function put(el, ...children) {
  el.replaceChildren();
  return add(el, children);
}

export function say(text) {
  document.getElementById('say').textContent = text;
}

/** Runs `fn` when nothing has called for `ms`. */
export function later(fn, ms) {
  let timer;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => fn(...args), ms); };
}

/** Runs `fn` at once, then at most every `ms`, and once more for calls that came between: a stream of calls never starves it. */
export function throttled(fn, ms) {
  let timer = null;
  let again = false;
  const tick = () => { if (again) { again = false; timer = setTimeout(tick, ms); fn(); } else timer = null; };
  return () => { if (timer) again = true; else { timer = setTimeout(tick, ms); fn(); } };
}

let ids = 0;
export function field(label, input, hint, error) {
  const id = `f${++ids}`;
  input.id ||= id;
  const note = hint || error ? h('div', { id: `${id}n`, class: error ? 'error' : 'hint' }, error || hint) : null;
  if (note) input.setAttribute('aria-describedby', note.id);
  if (error) input.setAttribute('aria-invalid', 'true');
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, note);
}

/** A question over the page. Answers what `ask` gives to `done`, or null. */
export function dialog(title, body, actions) {
  return new Promise((resolve) => {
    const box = h('dialog', { 'aria-labelledby': 'dlg' });
    const before = document.activeElement;
    const end = (value) => { box.close(); box.remove(); before?.focus?.(); resolve(value); };
    const form = h('form', { method: 'dialog', onsubmit: (e) => { e.preventDefault(); end(actions.submit()); } },
      h('h2', { id: 'dlg' }, title), body,
      h('div', { class: 'row end' },
        h('button', { type: 'button', class: 'btn', onclick: () => end(null) }, actions.cancel),
        h('button', { type: 'submit', class: `btn ${actions.danger ? 'danger' : 'primary'}` }, actions.ok)));
    box.append(form);
    box.addEventListener('cancel', (e) => { e.preventDefault(); end(null); });
    document.body.append(box);
    box.showModal();
  });
}

export function tabs(list, current, pick) {
  const bar = h('div', { class: 'tabs', role: 'tablist' });
  const keys = (e) => {
    const at = list.findIndex((tab) => tab.id === current);
    const to = e.key === 'ArrowRight' ? at + 1 : e.key === 'ArrowLeft' ? at - 1 : -1;
    if (to >= 0 && to < list.length) { e.preventDefault(); pick(list[to].id); document.querySelector(`[role=tab][data-tab="${list[to].id}"]`)?.focus(); }
  };
  for (const tab of list) {
    bar.append(h('button', { role: 'tab', type: 'button', 'data-tab': tab.id, 'aria-selected': String(tab.id === current), tabindex: tab.id === current ? 0 : -1, onclick: () => pick(tab.id), onkeydown: keys },
      tab.title, tab.count !== undefined && h('span', { class: 'count' }, tab.count)));
  }
  return bar;
}

/** A page of a list after the other, on demand: `load(cursor)` answers {items, next_cursor}. */
export async function paged(load, draw, empty, moreText) {
  const list = h('div');
  let cursor = null;
  const more = h('button', { type: 'button', class: 'btn more', onclick: async () => { more.disabled = true; try { await next(); } finally { more.disabled = false; } } }, moreText);
  const next = async () => {
    const page = await load(cursor);
    const first = !cursor;
    cursor = page.next_cursor;
    if (first && !page.items.length) put(list, empty); else list.append(draw(page.items, first));
    more.hidden = !cursor;
  };
  await next();
  return [list, more];
}
