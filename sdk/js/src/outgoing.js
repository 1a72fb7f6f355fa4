// Requests to the outside. Takes the permission `http.outgoing`, scoped by `hosts`, `schemes`, `ports` and `networks`.
//
//   const hosts = outgoing.get('https://api.example.com/hosts', { headers: { authorization: `Bearer ${token}` } }).success().json();
//
// A redirect is an answer like any other. How long a request may take, how large an answer may be, and how many there may be in a minute is
// bounded by the host.
import { handle } from 'wasi:http/outgoing-handler@0.2.0';
import { Fields, OutgoingBody, OutgoingRequest } from 'wasi:http/types@0.2.0';
import { PlenumError } from './error.js';
import { decodeText, encodeText } from './text.js';

const ADDRESS = /^(https?):\/\/([^/?#@\s]+)(\/[^#\s]*|\?[^#\s]*|)(?:#\S*)?$/;
const METHODS = ['get', 'head', 'post', 'put', 'delete', 'patch', 'options'];

/** What came back. */
export class Answer {
  constructor(status, headers, body, url) {
    this.status = status;
    this.headers = headers;
    this.body = body;
    this.url = url;
  }

  /** The answer, if its status is of 200 to 299; else throws an error with the beginning of what it says. */
  success() {
    if (this.status >= 200 && this.status < 300) return this;
    throw new PlenumError(502, 'outgoing.status', `${this.url} answered ${this.status}: ${this.text().slice(0, 300)}`);
  }

  /** Its body as text. */
  text() {
    return decodeText(this.body);
  }

  /** Its body from JSON. */
  json() {
    try {
      return JSON.parse(this.text());
    } catch (e) {
      throw new PlenumError(502, 'outgoing.json', `${this.url} did not answer what this plugin expects: ${e.message}`);
    }
  }
}

/** Sends a request and waits for the whole answer. `json` makes the body. */
export function request(method, url, { headers = {}, body = '', json } = {}) {
  const [, scheme, authority, rest] = ADDRESS.exec(url) ?? [];
  if (!authority) throw new PlenumError(422, 'outgoing.url', `${JSON.stringify(url)} is no address: write https://host/path`);
  const sent = Object.entries(headers);
  if (json !== undefined) sent.push(['content-type', 'application/json']);
  const content = json !== undefined ? encodeText(JSON.stringify(json)) : typeof body === 'string' ? encodeText(body) : body;
  const valid = (what, f) => {
    try {
      return f();
    } catch {
      throw new PlenumError(422, 'outgoing.request', `${what} of the request to ${authority} is not valid`);
    }
  };

  const fields = new Fields();
  for (const [name, value] of sent) valid(`the header ${name}`, () => fields.append(name, encodeText(String(value))));
  const asked = new OutgoingRequest(fields);
  const name = method.toLowerCase();
  valid('the method', () => asked.setMethod(METHODS.includes(name) ? { tag: name } : { tag: 'other', val: method.toUpperCase() }));
  valid('the scheme', () => asked.setScheme({ tag: scheme.toUpperCase() }));
  valid('the host', () => asked.setAuthority(authority));
  valid('the path', () => asked.setPathWithQuery(rest.startsWith('/') ? rest : `/${rest}`));
  const outgoing = valid('the body', () => asked.body());
  let waiting;
  try {
    // On its way before its body is written: nobody would read that otherwise.
    waiting = handle(asked, null);
  } catch (e) {
    throw unreached(e?.payload ?? e, authority);
  }
  try {
    const stream = outgoing.write();
    for (let at = 0; at < content.length; at += 4096) stream.blockingWriteAndFlush(content.subarray(at, at + 4096));
    stream[Symbol.dispose]();
    OutgoingBody.finish(outgoing, null);
  } catch {
    // One that is not taken is no error yet: who refuses early says why in the answer.
  }
  const ready = waiting.subscribe();
  ready.block();
  ready[Symbol.dispose]();
  let found = waiting.get();
  while (found?.tag === 'ok') found = found.val;
  if (found?.tag === 'err') throw unreached(found.val, authority);
  return receive(found, authority, url);
}

function receive(response, authority, url) {
  const headers = {};
  for (const [name, value] of response.headers().entries()) {
    const [key, text] = [name.toLowerCase(), decodeText(Uint8Array.from(value))];
    headers[key] = key in headers ? `${headers[key]}, ${text}` : text;
  }
  const parts = [];
  let size = 0;
  const incoming = response.consume();
  const stream = incoming.stream();
  for (;;) {
    try {
      const part = Uint8Array.from(stream.blockingRead(64 * 1024));
      parts.push(part);
      size += part.length;
    } catch (e) {
      if ((e?.payload ?? e)?.tag === 'closed') break;
      throw new PlenumError(502, 'outgoing.failed', `the answer of ${authority} broke off`);
    }
  }
  // The stream belongs to the body: it goes before it does.
  stream[Symbol.dispose]();
  incoming[Symbol.dispose]();
  const body = new Uint8Array(size);
  parts.reduce((at, part) => (body.set(part, at), at + part.length), 0);
  return new Answer(response.status(), headers, body, url);
}

function unreached(code, authority) {
  // As the fake refuses.
  if (code?.status && code.code) return new PlenumError(code.status, code.code, code.message);
  const tag = String(code?.tag ?? code);
  if (['http-request-denied', 'destination-ip-prohibited'].includes(tag.toLowerCase())) {
    const message = `the host refused the request to ${authority}: the plugin's log has the line of plugin.toml that would allow it`;
    return PlenumError.forbidden('outgoing.denied', message);
  }
  return new PlenumError(502, 'outgoing.failed', `${authority} was not reached: ${tag} ${code?.val ?? ''}`.trim());
}

/** GET. */
export const get = (url, options) => request('GET', url, options);
/** POST. */
export const post = (url, options) => request('POST', url, options);
/** PUT. */
export const put = (url, options) => request('PUT', url, options);
/** DELETE; `delete` is a word of the language. */
export const remove = (url, options) => request('DELETE', url, options);
