// Plenum bridge: how a plugin's framed page speaks to the portal. `plenum plugin build` puts it into the package as web/plenum-bridge.js.
// Types are in plenum-bridge.d.ts.
//
//   const p = await plenum.connect();
//   p.context                               user {id, name, display_name, role}, locale 'en' | 'zh-CN', theme 'light' | 'dark', plugin, path, tokens
//   p.onContext(fn)                         called with the new context when the theme, the language or the path changes; answers a function that ends it
//   await p.http.get('/things')             also post(path, json), put(path, json), patch(path, json), delete(path), request(method, path, body, headers):
//                                           {status, headers, body} of the plugin's own API, the body as text; a status of 400 or more is an answer too
//   await p.events.subscribe(types, fn)     events as they happen, as far as the plugin's grant allows; answers a function that ends it
//   p.navigate('/cmdb/host/0197...')        goes to a page of the portal
//   p.setPath('reports/7')                  puts the page's own place into the portal's address, so that it can be shared; {replace: true} adds no step back
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

  // As the portal reads a type: exact, or a start that ends in `*` or in a dot.
  function matches(pattern, type) {
    if (pattern.endsWith('*')) return type.startsWith(pattern.slice(0, -1));
    return type === pattern || (pattern.endsWith('.') && type.startsWith(pattern));
  }

  function base64(bytes) {
    let text = '';
    // In parts: the arguments of one call are limited.
    for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text);
  }

  // One listener that throws must not keep the others from hearing.
  function tell(listeners, value) {
    for (const fn of [...listeners]) {
      try {
        fn(value);
      } catch (error) {
        console.error(error);
      }
    }
  }

  async function connect() {
    const { port, context } = await open();
    const waiting = new Map();
    const subscriptions = new Set();
    const contextListeners = new Set();
    let next = 1;

    function call(method, params) {
      const id = next++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        port.postMessage({ jsonrpc: '2.0', id, method, params });
      });
    }

    // For what nobody waits for: a refusal is for the author, in the console.
    function ask(method, params) {
      return call(method, params).catch((error) => console.warn(`plenum ${method}: ${error.message}`));
    }

    function request(method, path, body, headers) {
      const json = body !== undefined && body !== null && typeof body !== 'string';
      return call('http', {
        method,
        path,
        headers: { ...(json ? { 'content-type': 'application/json' } : {}), ...headers },
        body: json ? JSON.stringify(body) : (body ?? null),
      });
    }

    async function subscribe(types, fn) {
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
        // The portal keeps one set for the page: what another subscription still wants stays in it.
        const wanted = new Set([...subscriptions].flatMap((s) => s.types));
        const gone = subscription.types.filter((t) => !wanted.has(t));
        if (gone.length > 0) ask('unsubscribe', { types: gone });
      };
    }

    const bridge = {
      context,
      onContext(fn) {
        contextListeners.add(fn);
        return () => contextListeners.delete(fn);
      },
      http: {
        request,
        get: (path) => request('GET', path),
        post: (path, body) => request('POST', path, body ?? {}),
        put: (path, body) => request('PUT', path, body ?? {}),
        patch: (path, body) => request('PATCH', path, body ?? {}),
        delete: (path) => request('DELETE', path),
      },
      events: { subscribe },
      navigate: (to) => ask('navigate', { to }),
      setPath: (path, options) => ask('setPath', { path, replace: options?.replace === true }),
      notify: (level, text) => ask('notify', { level, text }),
      download: (name, mime, content) =>
        ask('download', typeof content === 'string' ? { name, mime, content } : { name, mime, content: base64(new Uint8Array(content)), encoding: 'base64' }),
    };

    port.onmessage = ({ data }) => {
      if (data?.id !== undefined && waiting.has(data.id)) {
        const { resolve, reject } = waiting.get(data.id);
        waiting.delete(data.id);
        if (data.error) reject(Object.assign(new Error(data.error.message), { code: data.error.code, data: data.error.data }));
        else resolve(data.result);
      } else if (data?.method === 'event') {
        const event = data.params;
        tell([...subscriptions].filter((s) => s.types.some((t) => matches(t, event.type))).map((s) => s.fn), event);
      } else if (data?.method === 'context') {
        bridge.context = { ...bridge.context, ...data.params };
        tell(contextListeners, bridge.context);
      }
    };
    port.start?.();
    return bridge;
  }

  // A page that was opened too early may try again: a failure is not kept.
  window.plenum = {
    connect: () => (connected ??= connect().catch((error) => {
      connected = null;
      throw error;
    })),
  };
})();
