'use strict';

(async () => {
  const p = await plenum.connect();
  const main = document.getElementById('main');
  const problem = document.getElementById('problem');
  const dress = ({ theme, locale }) => {
    document.documentElement.dataset.theme = theme;
    document.documentElement.lang = locale;
  };
  dress(p.context);
  const mayWrite = p.context.user?.role !== 'viewer';
  /** Ends what a view follows when it is left. */
  let leave = () => {};

  async function call(method, path, body) {
    const answer = await p.http.request(method, path, body);
    const json = answer.body ? JSON.parse(answer.body) : null;
    if (answer.status >= 400) throw new Error(json?.errors?.map((e) => `${e.pointer} ${e.message}`).join('; ') || json?.detail || `HTTP ${answer.status}`);
    return json;
  }
  const report = (work) => {
    problem.textContent = '';
    return work().catch((e) => (problem.textContent = e.message));
  };

  function go(to, told = true) {
    const path = `/${to.replace(/^\/+/, '')}`;
    if (told) p.setPath(path);
    leave();
    leave = () => {};
    const [, page, id, what] = path.split('/');
    return report(() => (page === 'new' ? edit(null) : page === 'r' ? (what === 'edit' ? edit(id) : show(id)) : list()));
  }

  async function list() {
    const t = words();
    const found = el('ul', { class: 'list' });
    const search = el('input', { type: 'search', class: 'grow', placeholder: t.search, 'aria-label': t.search });
    let asked = 0;
    const fill = async () => {
      const mine = (asked += 1);
      const { items } = await call('GET', `/runbooks?search=${encodeURIComponent(search.value)}`);
      // Of two searches the one that was typed last is shown, whichever answers first.
      if (mine !== asked) return;
      const rows = items.map((r) =>
        el('li', {}, el('button', { type: 'button', onclick: () => go(`/r/${r.id}`) },
          el('strong', {}, r.title), ` `, el('span', { class: 'tag' }, r.model), r.tags.map((tag) => el('span', { class: 'tag' }, tag)),
          el('div', { class: 'muted' }, `${r.summary} · ${r.steps} ${t.stepCount}`))));
      found.replaceChildren(...(rows.length ? rows : [el('li', { class: 'muted' }, t.none)]));
    };
    search.addEventListener('input', () => report(fill));
    main.replaceChildren(el('div', { class: 'bar' }, search, mayWrite ? button(t.add, () => go('/new'), 'main') : null), found);
    await fill();
    search.focus();
  }

  async function show(id) {
    const t = words();
    const [r, runs] = await Promise.all([call('GET', `/runbooks/${id}`), call('GET', `/runbooks/${id}/runs`)]);
    const chosen = new Map();
    const outputs = el('div');
    const records = el('div', { class: 'records' });
    const buttons = [];
    const allow = () => buttons.forEach((b) => (b.disabled = !chosen.size));
    const search = el('input', { type: 'search', class: 'grow', placeholder: t.choose, 'aria-label': t.choose });
    const fill = async () => {
      const { items, more } = await call('GET', `/runbooks/${id}/records?search=${encodeURIComponent(search.value)}`);
      const rows = items.map((i) => {
        const box = el('input', { type: 'checkbox', checked: chosen.has(i.id), onchange: () => {
          if (box.checked) chosen.set(i.id, i.label);
          else chosen.delete(i.id);
          allow();
        } });
        return el('label', {}, box, ` ${i.label} `, el('span', { class: 'muted' }, [i.env, i.status].filter(Boolean).join(' · ')));
      });
      records.replaceChildren(...(rows.length ? rows : [el('span', { class: 'muted' }, t.noRecords)]), ...(more ? [el('p', { class: 'muted' }, t.more)] : []));
    };
    search.addEventListener('input', () => report(fill));

    const steps = r.steps.map((step, n) => {
      const out = el('div');
      const run = button(t.run, () => report(async () => {
        const names = [...chosen.values()].join(', ');
        if (step.danger && !(await confirmed(out, `${t.ask} ${names}?`))) return;
        await follow(await call('POST', `/runbooks/${id}/steps/${n}/run`, { instances: [...chosen.keys()], version: r.version }), out);
      }), step.danger ? 'danger' : 'main');
      buttons.push(run);
      const script = el('pre', { hidden: true }, step.script);
      const head = el('div', { class: 'bar' }, el('strong', { class: 'grow' }, `${n + 1}. ${step.title}`), button(t.shownStep, () => (script.hidden = !script.hidden)), mayWrite ? run : null);
      return el('section', { class: 'step' }, head, script, out);
    });

    const history = runs.items.map((x) => el('li', {},
      el('button', { type: 'button', onclick: () => report(async () => follow(await call('GET', `/runs/${x.execution}`), outputs)) },
        `${new Date(x.at).toLocaleString(document.documentElement.lang)} · ${x.name} · ${x.targets.map((i) => i.label).join(', ')} · ${t.by} ${x.by}`)));
    main.replaceChildren(
      el('div', { class: 'bar' }, button(`← ${t.back}`, () => go('/')), el('span', { class: 'grow' }), mayWrite ? button(t.edit, () => go(`/r/${id}/edit`)) : null),
      el('h1', {}, r.title),
      el('p', { class: 'muted' }, r.summary),
      el('p', {}, el('span', { class: 'tag' }, r.model), r.tags.map((tag) => el('span', { class: 'tag' }, tag))),
      ...markdown(r.body),
      ...(steps.length ? [el('h2', {}, t.steps), ...(mayWrite ? [el('div', { class: 'bar' }, el('span', {}, `${t.runOn}:`), search), records] : []), ...steps] : []),
      ...(history.length ? [el('h2', {}, t.history), el('ul', { class: 'list' }, history), outputs] : []),
    );
    allow();
    if (mayWrite && steps.length) await fill();
  }

  /** A question in the page: a sandboxed frame has no dialogs of the browser. */
  function confirmed(place, question) {
    const t = words();
    return new Promise((resolve) => {
      const box = el('div', { class: 'bar', role: 'group' }, el('span', { class: 'grow' }, question),
        button(t.run, () => (box.remove(), resolve(true)), 'danger'), button(t.cancel, () => (box.remove(), resolve(false))));
      place.prepend(box);
    });
  }

  /** Shows a job until it ends. */
  async function follow(first, place) {
    const id = first.execution;
    const draw = (job) => place.replaceChildren(
      el('p', { class: job.status }, `${job.status} · ${job.succeeded + job.failed}/${job.total}`),
      ...job.results.map((x) => el('div', {}, el('strong', { class: x.status }, `${x.node}: ${x.status}`), x.reason ? ` ${x.reason}` : '',
        x.stdout ? el('pre', {}, x.stdout) : null, x.stderr ? el('pre', { class: 'failed' }, x.stderr) : null)));
    draw(first);
    if (first.status !== 'running') return;
    let stop = () => {};
    const again = () => report(async () => {
      const job = await call('GET', `/runs/${id}`);
      draw(job);
      if (job.status !== 'running') stop();
    });
    stop = await p.events.subscribe(['plenum.job.target.finished', 'plenum.job.execution.finished'], again);
    const before = leave;
    leave = () => {
      before();
      stop();
    };
    // It may have ended before the subscription began.
    await again();
  }

  async function edit(id) {
    const t = words();
    const r = id ? await call('GET', `/runbooks/${id}`) : { title: '', summary: '', model: 'host', filter: '', tags: [], body: '', steps: [] };
    const field = (name, attributes = {}) => el('input', { name, value: String(r[name] ?? ''), ...attributes });
    const inputs = { title: field('title', { maxlength: '120' }), summary: field('summary', { maxlength: '300' }), model: field('model'), filter: field('filter'), tags: field('tags') };
    inputs.tags.value = r.tags.join(', ');
    const body = el('textarea', { rows: '10' });
    body.value = r.body;
    const steps = el('div');
    const rows = new Set();
    const add = (step) => {
      const title = el('input', { class: 'grow', 'aria-label': t.title, placeholder: t.title, value: step.title });
      const language = el('select', { 'aria-label': t.language }, ['sh', 'bash', 'python3'].map((l) => el('option', { value: l, selected: l === step.language }, l)));
      const timeout = el('input', { type: 'number', min: '1', max: '86400', 'aria-label': t.timeout, title: t.timeout, value: String(step.timeout_s) });
      const danger = el('input', { type: 'checkbox', checked: step.danger });
      const script = el('textarea', { rows: '5', 'aria-label': t.script, placeholder: t.script });
      script.value = step.script;
      const row = { value: () => ({ title: title.value, language: language.value, script: script.value, timeout_s: Number(timeout.value), danger: danger.checked }) };
      const box = el('section', { class: 'step' }, el('div', { class: 'bar' }, title, language, timeout, el('label', {}, danger, ` ${t.danger}`), button(t.remove, () => (rows.delete(row), box.remove()), 'danger')), script);
      rows.add(row);
      steps.append(box);
    };
    r.steps.forEach(add);
    const save = () => report(async () => {
      const tags = inputs.tags.value.split(',').map((x) => x.trim()).filter(Boolean);
      const sent = { title: inputs.title.value, summary: inputs.summary.value, model: inputs.model.value, filter: inputs.filter.value, tags, body: body.value, steps: [...rows].map((x) => x.value()) };
      const done = id ? await call('PUT', `/runbooks/${id}`, { ...sent, version: r.version }) : await call('POST', '/runbooks', sent);
      p.notify('success', t.saved);
      await go(`/r/${done.id}`);
    });
    const remove = button(t.remove, () => report(async () => {
      if (!(await confirmed(main, t.sure))) return;
      await call('DELETE', `/runbooks/${id}`);
      await go('/');
    }), 'danger');
    main.replaceChildren(
      el('h1', {}, id ? r.title : t.add),
      ...Object.entries(inputs).map(([name, input]) => el('label', {}, t[name], input)),
      el('label', {}, t.body, body),
      el('h2', {}, t.steps),
      steps,
      el('p', {}, button(t.addStep, () => add({ title: '', language: 'sh', script: '', timeout_s: 60, danger: false }))),
      el('div', { class: 'bar' }, button(t.save, save, 'main'), button(t.cancel, () => go(id ? `/r/${id}` : '/')), el('span', { class: 'grow' }), id ? remove : null),
    );
    inputs.title.focus();
  }

  p.onContext((context) => {
    const before = document.documentElement.lang;
    dress(context);
    if (before !== context.locale) go(context.path || '/', false);
  });
  await go(p.context.path || '/', false);
})();
