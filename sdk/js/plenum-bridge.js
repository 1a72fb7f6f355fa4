// Plenum bridge: how a plugin's framed page speaks to the portal. `plenum plugin build` puts it into the package as web/plenum-bridge.js.
//
//   const p = await plenum.connect();
//   p.context                               user {id, name, role}, locale 'en' | 'zh-CN', theme 'light' | 'dark', plugin, path
//   p.onContext(fn)                         called with the new context when the theme, the language or the path changes
//   await p.http.get('/things')             also post(path, json), put(path, json), delete(path): {status, headers, body} of the plugin's own API
//   await p.events.subscribe(types, fn)     events as they happen, as far as the plugin's grant allows; answers a function that ends it
//   p.navigate('/cmdb/host/0197...')        goes to a page of the portal
//   p.setPath('/reports/7')                 puts the page's own place into the portal's address, so that it can be shared
//   p.notify('success', 'Saved')            'info' | 'success' | 'warning' | 'error'
//   p.download('report.csv', 'text/csv', text)
//
// The page runs in a frame without an origin: no cookie, no storage, no network of its own. All goes over one message port (JSON-RPC 2.0).
(() => {
  'use strict';
  const HANDSHAKE_MS = 15000;
  let connected = null;

  function open() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        removeEventListener('message', onMessage);
        reject(new Error('This page only works inside the Plenum portal.'));
      }, HANDSHAKE_MS);
      function onMessage(event) {
        if (event.source !== parent || event.data?.plenum !== 'port' || !event.ports[0]) return;
        removeEventListener('message', onMessage);
        clearTimeout(timer);
        resolve({ port: event.ports[0], context: event.data.context });
      }
      addEventListener('message', onMessage);
      parent.postMessage({ plenum: 'hello', version: 1 }, '*');
    });
  }

  async function connect() {
    const { port, context } = await open();
    const waiting = new Map();
    const subscriptions = new Map();
    const contextListeners = new Set();
    let next = 1;

    const bridge = {
      context,
      onContext(fn) {
        contextListeners.add(fn);
        return () => contextListeners.delete(fn);
      },
      http: {
        request: (method, path, body, headers) =>
          call('http', { method, path, headers: headers ?? {}, body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body) }),
        get: (path) => bridge.http.request('GET', path),
        post: (path, body) => bridge.http.request('POST', path, body ?? {}),
        put: (path, body) => bridge.http.request('PUT', path, body ?? {}),
        delete: (path) => bridge.http.request('DELETE', path),
      },
      events: {
        async subscribe(types, fn) {
          const id = next;
          subscriptions.set(id, { types: [].concat(types), fn });
          await call('subscribe', { types: [].concat(types) });
          return () => subscriptions.delete(id);
        },
      },
      navigate: (to) => tell('navigate', { to }),
      setPath: (path) => tell('setPath', { path }),
      notify: (level, text) => tell('notify', { level, text }),
      download: (name, mime, content) => tell('download', { name, mime, content }),
    };

    function call(method, params) {
      const id = next++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        port.postMessage({ jsonrpc: '2.0', id, method, params });
      });
    }

    function tell(method, params) {
      return call(method, params).catch((error) => console.warn(`plenum ${method}: ${error.message}`));
    }

    port.onmessage = ({ data }) => {
      if (data?.id !== undefined && waiting.has(data.id)) {
        const { resolve, reject } = waiting.get(data.id);
        waiting.delete(data.id);
        if (data.error) reject(Object.assign(new Error(data.error.message), { code: data.error.code, data: data.error.data }));
        else resolve(data.result);
      } else if (data?.method === 'event') {
        const event = data.params?.event ?? data.params;
        for (const { types, fn } of subscriptions.values()) {
          if (types.some((t) => (t.endsWith('*') ? event.type.startsWith(t.slice(0, -1)) : event.type === t))) fn(event);
        }
      } else if (data?.method === 'context') {
        bridge.context = { ...bridge.context, ...(data.params?.context ?? data.params) };
        for (const fn of contextListeners) fn(bridge.context);
      }
    };
    port.start?.();
    return bridge;
  }

  window.plenum = { connect: () => (connected ??= connect()) };
})();
