'use strict';

const $ = (id) => document.getElementById(id);

// Text is only ever set as text: what others typed never becomes markup.
function element(tag, ...children) {
  const e = document.createElement(tag);
  e.append(...children);
  return e;
}

(async () => {
  const p = await plenum.connect();
  const dress = ({ theme, locale }) => {
    document.documentElement.dataset.theme = theme;
    document.documentElement.lang = locale;
  };
  dress(p.context);
  p.onContext(dress);

  async function call(method, path, body) {
    const answer = await p.http.request(method, path, body);
    const json = answer.body ? JSON.parse(answer.body) : null;
    if (answer.status >= 400) throw new Error(json?.detail ?? `HTTP ${answer.status}`);
    return json;
  }

  async function show() {
    const [summary, notes] = await Promise.all([call('GET', '/summary'), call('GET', '/notes')]);
    const rows = Object.entries(summary).map(([os, hosts]) => element('tr', element('td', os), element('td', String(hosts))));
    $('summary').replaceChildren(...rows);
    $('notes').replaceChildren(...notes.items.map(({ data }) => element('li', `${data.text} (${data.author})`)));
  }

  const report = (work) => work().then(() => ($('problem').textContent = ''), (e) => ($('problem').textContent = e.message));

  $('form').addEventListener('submit', (event) => {
    event.preventDefault();
    report(async () => {
      await call('POST', '/notes', { text: $('text').value });
      $('text').value = '';
      await show();
    });
  });
  await report(show);
})();
