// Requests, responses, and which function answers which.
import { writing } from './context.js';
import { PlenumError, parse } from './error.js';
import { decodeText, encodeText } from './text.js';

/** `%41` and, in queries, `+`. A broken escape stays as it is. */
function unescaped(text, query) {
  const plain = query ? text.replaceAll('+', ' ') : text;
  return plain.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => decodeText(Uint8Array.from(run.slice(1).split('%'), (h) => parseInt(h, 16))));
}

/** A request to one of the plugin's routes. In tests it is made with `Request.get` and the like. */
export class Request {
  constructor(method, target, headers = {}, body = new Uint8Array()) {
    const [path, ...query] = target.split('?');
    this.method = method.toUpperCase();
    this.path = path;
    this.headers = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]));
    this.body = body;
    this.params = {};
    this.pairs = query
      .join('?')
      .split('&')
      .filter(Boolean)
      .map((pair) => {
        const [name, ...value] = pair.split('=');
        return [unescaped(name, true), unescaped(value.join('='), true)];
      });
  }

  /** GET. */
  static get(target) {
    return new Request('GET', target);
  }

  /** POST with a JSON body. */
  static post(target, body) {
    return new Request('POST', target).withJson(body);
  }

  /** PUT with a JSON body. */
  static put(target, body) {
    return new Request('PUT', target).withJson(body);
  }

  /** DELETE. */
  static delete(target) {
    return new Request('DELETE', target);
  }

  /** With a JSON body. */
  withJson(body) {
    this.body = encodeText(JSON.stringify(body ?? null));
    return this.withHeader('content-type', 'application/json');
  }

  /** With a header. */
  withHeader(name, value) {
    this.headers[name.toLowerCase()] = value;
    return this;
  }

  /** As that person: for tests. */
  asUser(name, role) {
    return this.withHeader('x-plenum-user', name).withHeader('x-plenum-user-name', name).withHeader('x-plenum-role', role);
  }

  /** A header; several of one name are joined with commas. */
  header(name) {
    return this.headers[name.toLowerCase()] ?? null;
  }

  /** A part of the path that the route names, `{id}`. */
  param(name) {
    if (!(name in this.params)) throw PlenumError.internal('plugin.route', `the route has no part {${name}}`);
    return this.params[name];
  }

  /** A part of the query; null when it is absent or empty. With `Number` as its kind, an error when it is no number. */
  query(name, kind = String) {
    const text = this.pairs.find(([n, v]) => n === name && v !== '')?.[1];
    if (text === undefined) return null;
    const value = kind(text);
    if (typeof value === 'number' && Number.isNaN(value)) throw PlenumError.invalid(`/${name}`, `${JSON.stringify(text)} cannot be a ${name}`);
    return value;
  }

  /** The body as text. */
  text() {
    return decodeText(this.body);
  }

  /** The body as JSON. With a shape, `{ text: 'string', stars: 'number?' }`, what is wrong with it becomes an error with the field's place. */
  json(shape = null) {
    const value = parse(this.text());
    return shape ? shaped(value, shape) : value;
  }

  /** The person who asks, or null; the host vouches for it. */
  user() {
    const id = this.header('x-plenum-user');
    return id === null ? null : { id, name: this.header('x-plenum-user-name') ?? '', role: this.header('x-plenum-role') ?? '' };
  }

  /** The person who asks, if they may change things; else an error with status 403. */
  writer() {
    const user = this.user();
    if (!user) throw PlenumError.forbidden('plugin.no_user', 'this is only for a signed-in person');
    return writing(user);
  }

  /** `en` or `zh-CN`: the language of whoever asks. */
  get locale() {
    return this.header('x-plenum-locale') ?? 'en';
  }
}

const kindOf = (value) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

/** A JSON value that has this shape: fields by kind (string, number, boolean, object, array), a `?` at the end for those that may lack. */
function shaped(value, shape) {
  if (kindOf(value) !== 'object') throw PlenumError.invalid('', `this must be an object, not ${kindOf(value)}`);
  const problems = [];
  for (const [name, kind] of Object.entries(shape)) {
    const there = value[name] !== undefined && value[name] !== null;
    const wanted = kind.replace('?', '');
    const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (!there && !kind.endsWith('?')) problems.push({ pointer, message: `the field ${name} is missing` });
    else if (there && kindOf(value[name]) !== wanted) problems.push({ pointer, message: `this must be of the kind ${wanted}, not ${kindOf(value[name])}` });
  }
  if (problems.length) throw PlenumError.invalidFields(problems[0].message, problems);
  return value;
}

/** An answer. */
export class Response {
  constructor(status = 200, body = '', headers = {}) {
    this.status = status;
    this.body = typeof body === 'string' ? encodeText(body) : body;
    this.headers = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]));
  }

  /** JSON. */
  static json(value, status = 200) {
    return new Response(status, JSON.stringify(value) ?? 'null', { 'content-type': 'application/json' });
  }

  /** Text. */
  static text(text, status = 200, contentType = 'text/plain; charset=utf-8') {
    return new Response(status, text, { 'content-type': contentType });
  }

  /** A file to save. */
  static download(name, contentType, body) {
    const safe = name.replace(/[^A-Za-z0-9._ -]/g, '_');
    return new Response(200, body, { 'content-type': contentType, 'content-disposition': `attachment; filename="${safe}"` });
  }

  /** Problem JSON. */
  static error(e) {
    return new Response(e.status, JSON.stringify(e.problem()), { 'content-type': 'application/problem+json' });
  }

  /** What a handler answered: a response, nothing (204), or a value for JSON. */
  static of(answer) {
    if (answer instanceof Response) return answer;
    if (answer === undefined || answer === null) return new Response(204);
    if (typeof answer?.then === 'function') {
      throw PlenumError.internal('plugin.async', 'a handler of the plugin is async; calls of the platform answer at once, so leave async and await out');
    }
    return Response.json(answer);
  }

  /** The body as text: for tests. */
  text() {
    return decodeText(this.body);
  }

  /** The body as JSON: for tests. */
  decode() {
    return JSON.parse(this.text());
  }
}

/** Routes: `{name}` in a path stands for one segment, `{*name}` at its end for all that follow.
 *
 * Of several routes that match, the one added first answers. HEAD is answered like GET, without the body. */
export class Router {
  constructor() {
    this.routes = [];
  }

  /** Adds a route. */
  route(method, path, handler) {
    this.routes.push({ method: method.toUpperCase(), pattern: path.replace(/^\/+/, '').split('/'), handler });
    return this;
  }

  get(path, handler) {
    return this.route('GET', path, handler);
  }

  post(path, handler) {
    return this.route('POST', path, handler);
  }

  put(path, handler) {
    return this.route('PUT', path, handler);
  }

  patch(path, handler) {
    return this.route('PATCH', path, handler);
  }

  delete(path, handler) {
    return this.route('DELETE', path, handler);
  }

  /** The answer of whoever answers; an error when nobody does. */
  answer(request) {
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const allowed = new Set();
    for (const route of this.routes) {
      const params = matches(route.pattern, request.path);
      if (!params) continue;
      if (route.method === method) {
        request.params = params;
        return route.handler(request);
      }
      allowed.add(route.method);
    }
    if (!allowed.size) throw PlenumError.notFound('plugin.no_route', `there is no ${request.method} ${request.path} here`);
    const list = [...allowed].join(', ');
    const error = new PlenumError(405, 'plugin.method', `${request.path} knows ${list}, not ${request.method}`);
    const response = Response.error(error);
    response.headers.allow = list;
    return response;
  }
}

function matches(pattern, path) {
  // Split before decoding: an escaped slash belongs to its segment.
  const segments = path.replace(/^\/+/, '').split('/');
  const rest = pattern.at(-1).startsWith('{*');
  // A slash at the end changes nothing.
  if (segments.length > 1 && segments.at(-1) === '' && !rest) segments.pop();
  const params = {};
  for (const [at, part] of pattern.entries()) {
    if (part.startsWith('{*')) return { ...params, [part.slice(2, -1)]: unescaped(segments.slice(at).join('/'), false) };
    if (at >= segments.length) return null;
    const segment = unescaped(segments[at], false);
    if (part.startsWith('{') && part.endsWith('}')) {
      if (segment === '') return null;
      params[part.slice(1, -1)] = segment;
    } else if (part !== segment) return null;
  }
  return segments.length === pattern.length ? params : null;
}
