/** The one door to the host's API: JSON in and out, problem details as errors. */

export interface ProblemBody {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  code?: string;
  pointer?: string;
  errors?: { pointer: string; detail: string }[];
}

/** An RFC 9457 problem, or what stands for one when the host could not be asked. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly pointer?: string;
  readonly errors: { pointer: string; detail: string }[];

  constructor(body: ProblemBody, status: number) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? '';
    this.title = body.title ?? '';
    this.detail = body.detail ?? '';
    this.pointer = body.pointer;
    this.errors = body.errors ?? [];
  }
}

export const BASE = '/api/v1';
export type QueryValue = string | number | boolean | null | undefined;

/** Called when the host says that nobody is signed in. */
let onSignedOut: () => void = () => {};
export function whenSignedOut(f: () => void): void {
  onSignedOut = f;
}

export function buildUrl(path: string, query?: Record<string, QueryValue>): string {
  const search = new URLSearchParams();
  for (const [k, v] of Object.entries(query ?? {})) {
    if (v !== undefined && v !== null && v !== '') search.set(k, String(v));
  }
  const text = search.toString();
  return BASE + path + (text ? `?${text}` : '');
}

/** Makes a path from a template whose values are encoded: segment`/cmdb/models/${name}`. */
export function segment(strings: TemplateStringsArray, ...values: (string | number)[]): string {
  return strings.reduce((out, s, i) => out + s + (i < values.length ? encodeURIComponent(String(values[i])) : ''), '');
}

export async function toProblem(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => '');
  try {
    return new Problem(JSON.parse(text) as ProblemBody, response.status);
  } catch {
    return new Problem({ title: response.statusText, detail: text.slice(0, 300) }, response.status);
  }
}

interface Options {
  query?: Record<string, QueryValue>;
  body?: unknown;
  /** A body that is a file, sent as it is. */
  file?: Blob;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

async function ask(method: string, path: string, o: Options = {}): Promise<Response> {
  let response: Response;
  const type = o.file ? o.file.type : o.body === undefined ? '' : 'application/json';
  try {
    response = await fetch(buildUrl(path, o.query), {
      method,
      headers: { accept: 'application/json', ...(type ? { 'content-type': type } : {}), ...o.headers },
      body: o.file ?? (o.body === undefined ? undefined : JSON.stringify(o.body)),
      signal: o.signal,
      credentials: 'same-origin',
    });
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e;
    throw new Problem({ code: 'portal.unreachable' }, 0);
  }
  if (!response.ok) {
    const problem = await toProblem(response);
    if (response.status === 401 && path !== '/session' && path !== '/session/password') onSignedOut();
    throw problem;
  }
  return response;
}

async function send<R>(method: string, path: string, o: Options = {}): Promise<R> {
  const response = await ask(method, path, o);
  if (response.status === 204) return undefined as R;
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as R;
}

export const http = {
  get: <R>(path: string, query?: Record<string, QueryValue>, signal?: AbortSignal) => send<R>('GET', path, { query, signal }),
  post: <R>(path: string, body?: unknown, query?: Record<string, QueryValue>, headers?: Record<string, string>) => send<R>('POST', path, { body: body ?? {}, query, headers }),
  /** The answer as a file. One that breaks off is an error, not a shorter file. */
  file: async (path: string, query?: Record<string, QueryValue>): Promise<Blob> => {
    const response = await ask('GET', path, { query, headers: { accept: '*/*' } });
    try {
      return await response.blob();
    } catch {
      throw new Problem({ code: 'portal.unreachable' }, 0);
    }
  },
  sendFile: <R>(path: string, file: Blob, query?: Record<string, QueryValue>) => send<R>('POST', path, { file, query }),
  put: <R>(path: string, body: unknown, headers?: Record<string, string>) => send<R>('PUT', path, { body, headers }),
  patch: <R>(path: string, body: unknown, headers?: Record<string, string>) => send<R>('PATCH', path, { body, headers }),
  delete: <R>(path: string, query?: Record<string, QueryValue>) => send<R>('DELETE', path, { query }),
};
