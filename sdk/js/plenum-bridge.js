// Plenum bridge: how a plugin's framed page speaks to the portal. `plenum plugin build` puts it into the package as web/plenum-bridge.js.
//
//   const p = await plenum.connect();
//   p.context                               user {name, display_name, role}, locale 'en' | 'zh-CN', theme 'light' | 'dark', plugin, path,
//                                           tokens {the portal's colours by CSS variable}
//   p.onContext(fn)                         called with the new context when the theme, the language or the path changes
//   await p.http.get('/things')             also post(path, json), put(path, json), patch(path, json), delete(path): {status, headers, body} of the plugin's
//                                           own API, the body as text; a failure of the API is an answer too, with its status
//   await p.events.subscribe(types, fn)     events as they happen, as far as the plugin's grant allows; answers a function that ends it
//   p.navigate('/cmdb/host/0197...')        goes to a page of the portal
//   p.setPath('/reports/7')                 puts the page's own place into the portal's address, so that it can be shared; with
//                                           {replace: true} without a step of the browser's history
//   p.notify('success', 'Saved')            'info' | 'success' | 'warning' | 'error'
//   p.download('report.csv', 'text/csv', text)   or bytes, as ArrayBuffer or Uint8Array
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
    const subscriptions = new Set();
    const contextListeners = new Set();
    let next = 1;

    const bridge = {
      context,
      onContext(fn) {
        contextListeners.add(fn);
        return () => contextListeners.delete(fn);
      },
      http: {
        request: (method, path, body, headers) => {
          const text = typeof body === 'string' ? body : JSON.stringify(body);
          // A text is sent as it is; what became JSON here says so, or a plugin's framework takes it for plain text.
          const type = typeof body === 'string' || body === undefined ? {} : { 'content-type': 'application/json' };
          return call('http', { method, path, headers: { ...type, ...headers }, body: text ?? null });
        },
        get: (path) => bridge.http.request('GET', path),
        post: (path, body) => bridge.http.request('POST', path, body ?? {}),
        put: (path, body) => bridge.http.request('PUT', path, body ?? {}),
        patch: (path, body) => bridge.http.request('PATCH', path, body ?? {}),
        delete: (path) => bridge.http.request('DELETE', path),
      },
      events: {
        async subscribe(types, fn) {
          const subscription = { types: [].concat(types), fn };
          // Before the answer: the first event may come with it.
          subscriptions.add(subscription);
          try {
            await call('subscribe', { types: subscription.types });
          } catch (error) {
            subscriptions.delete(subscription);
            throw error;
          }
          return () => {
            if (!subscriptions.delete(subscription)) return;
            const left = new Set([...subscriptions].flatMap((s) => s.types));
            const unused = subscription.types.filter((t) => !left.has(t));
            if (unused.length) tell('unsubscribe', { types: unused });
          };
        },
      },
      navigate: (to) => tell('navigate', { to }),
      setPath: (path, options) => tell('setPath', { path, replace: options?.replace === true }),
      notify: (level, text) => tell('notify', { level, text }),
      download: (name, mime, content) =>
        tell('download', typeof content === 'string' ? { name, mime, content } : { name, mime, content: base64(new Uint8Array(content)), encoding: 'base64' }),
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
        for (const { types, fn } of [...subscriptions]) if (types.some((t) => matches(t, event.type))) safely(fn, event);
      } else if (data?.method === 'context') {
        bridge.context = { ...bridge.context, ...(data.params?.context ?? data.params) };
        for (const fn of [...contextListeners]) safely(fn, bridge.context);
      }
    };
    port.start?.();
    return bridge;
  }

  // As the portal reads a type: exact, or a start that ends in `*` or in a dot.
  function matches(pattern, type) {
    if (pattern.endsWith('*')) return type.startsWith(pattern.slice(0, -1));
    return pattern === type || (pattern.endsWith('.') && type.startsWith(pattern));
  }

  // One listener's fault is told, and does not keep the news from the others.
  function safely(fn, value) {
    try {
      fn(value);
    } catch (error) {
      console.error(error);
    }
  }

  function base64(bytes) {
    let text = '';
    // In parts: the arguments of one call are limited.
    for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text);
  }

  // A failed handshake can be tried again.
  window.plenum = { connect: () => (connected ??= connect().catch((error) => ((connected = null), Promise.reject(error)))) };
})();
