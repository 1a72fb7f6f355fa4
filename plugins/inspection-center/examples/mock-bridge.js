// Stands in for plenum-bridge.js while the page is worked on without a portal: same words, plain fetch, no events.
(() => {
  const q = new URLSearchParams(location.search);
  const request = async (method, path, body) => {
    const r = await fetch(`/api${path}`, { method, headers: { 'content-type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body) });
    return { status: r.status, headers: {}, body: await r.text() };
  };
  window.plenum = {
    connect: async () => ({
      context: { user: { id: '0197', name: 'admin', display_name: 'Administrator', role: 'administrator' }, locale: q.get('locale') || 'en', theme: q.get('theme') || 'light', plugin: 'inspection-center', path: location.hash.slice(1) },
      http: Object.fromEntries(['get', 'post', 'put', 'delete'].map((m) => [m, (path, body) => request(m.toUpperCase(), path, body)])),
      events: { subscribe: async () => () => {} },
      navigate: (to) => console.log('navigate', to),
      setPath: (path) => history.replaceState(null, '', `#${path}`),
      notify: (level, text) => { console.log('notify', level, text); document.getElementById('say').textContent = text; },
      download: (name, mime, content) => { window.downloaded = { name, mime, content }; },
      onContext: () => {},
    }),
  };
})();
