// The fake's outside.
import { encodeText } from '../../text.js';
import { allowed, refuse, state } from '../state.js';

export function handle(request) {
  allowed('http.outgoing');
  const url = `${request.scheme}://${request.authority}${request.path}`;
  state.outgoing.push(`${request.method} ${url}`);
  if (!state.onRequest) refuse(502, 'outgoing.failed', `nobody answers ${url}; say what it does with Fake.onRequest`);
  return {
    subscribe: () => ({ block() {}, [Symbol.dispose]() {} }),
    get: () => ({ tag: 'ok', val: { tag: 'ok', val: answer(...state.onRequest(request.method, url, Uint8Array.from(request.sent))) } }),
  };
}

function answer(status, body) {
  let rest = typeof body === 'string' ? encodeText(body) : body instanceof Uint8Array ? body : encodeText(JSON.stringify(body));
  const stream = {
    blockingRead() {
      if (!rest) throw { payload: { tag: 'closed' } };
      const part = rest;
      rest = null;
      return part;
    },
    [Symbol.dispose]() {},
  };
  return { status: () => status, headers: () => ({ entries: () => [] }), consume: () => ({ stream: () => stream, [Symbol.dispose]() {} }) };
}
