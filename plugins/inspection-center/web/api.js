// The way to the plugin's own routes, through the bridge.

export const state = { bridge: null, locale: 'en' };

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `HTTP ${status}`);
    this.status = status;
    this.errors = body?.errors || [];
  }
  at(pointer) { return this.errors.find((e) => e.pointer === pointer)?.message; }
}

function text(result) {
  return typeof result?.body === 'string' ? result.body : typeof result === 'string' ? result : JSON.stringify(result ?? null);
}

export async function raw(method, path, body) {
  const result = await state.bridge.request(method, path, body);
  if (result.status >= 400) {
    let parsed = null;
    try { parsed = JSON.parse(result.body); } catch { /* not a problem document: its status must do */ }
    throw new Problem(result.status, parsed);
  }
  return text(result);
}

export async function api(method, path, body) {
  const answer = await raw(method, path, body);
  return answer ? JSON.parse(answer) : null;
}

export const get = (path) => api('GET', path);
export const post = (path, body = {}) => api('POST', path, body);
export const putJson = (path, body) => api('PUT', path, body);
export const del = (path) => api('DELETE', path);

/** Viewers look: what would be refused is not offered. */
export const mayWrite = () => state.user?.role !== 'viewer';
