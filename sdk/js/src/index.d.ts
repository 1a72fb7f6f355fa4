// Types of @plenum/sdk.

/** Anything that JSON has a form for. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** An error: problem JSON (RFC 9457) over HTTP, the error of an action or of the platform otherwise. */
export class PlenumError extends Error {
  constructor(status: number, code: string, message: string, problems?: Problem[]);
  /** The HTTP status that fits. */
  status: number;
  /** Stable, for programs: `notes.not_found`. */
  code: string;
  /** Each wrong field. */
  problems: Problem[];
  static badRequest(code: string, message: string): PlenumError;
  static forbidden(code: string, message: string): PlenumError;
  static notFound(code: string, message: string): PlenumError;
  static conflict(code: string, message: string): PlenumError;
  static internal(code: string, message: string): PlenumError;
  /** 422: one field is wrong, named by its JSON pointer. */
  static invalid(pointer: string, message: string): PlenumError;
  static invalidFields(message: string, problems: Problem[]): PlenumError;
  problem(): object;
  line(): string;
}

/** One wrong field of a request. */
export interface Problem {
  /** JSON pointer, `/items/0/name`. */
  pointer: string;
  message: string;
}

/** A signed-in person. */
export interface User {
  id: string;
  name: string;
  role: 'administrator' | 'operator' | 'viewer' | (string & {});
}

/** A page of a list. */
export interface Page<T> {
  items: T[];
  /** null on the last page. */
  nextCursor: string | null;
  total: number;
}

export interface QueryOptions {
  /** CEL; see `cel` for values that somebody typed. */
  filter?: string;
  /** A field; a leading `-` sorts downwards. */
  sort?: string;
  cursor?: string | null;
  /** Records of a page: 1 to 1000; 200 when not said. */
  limit?: number;
}

export interface Query<T> {
  page(): Page<T>;
  /** All that match, page by page. Mind the memory limit of a call. */
  all(): T[];
  count(): number;
}

type Shape = Record<string, 'string' | 'number' | 'boolean' | 'object' | 'array' | 'string?' | 'number?' | 'boolean?' | 'object?' | 'array?'>;
type Kind<K extends string> = K extends 'string' ? string : K extends 'number' ? number : K extends 'boolean' ? boolean : K extends 'array' ? any[] : any;
type Shaped<S extends Shape> = { [K in keyof S]: S[K] extends `${infer B}?` ? Kind<B> | null | undefined : Kind<S[K]> };

/** A request to one of the plugin's routes. In tests it is made with `Request.get` and the like. */
export class Request {
  constructor(method: string, target: string, headers?: Record<string, string>, body?: Uint8Array);
  method: string;
  /** Path within the plugin, as it was sent. */
  path: string;
  headers: Record<string, string>;
  body: Uint8Array;
  static get(target: string): Request;
  static post(target: string, body?: unknown): Request;
  static put(target: string, body?: unknown): Request;
  static delete(target: string): Request;
  withJson(body: unknown): Request;
  withHeader(name: string, value: string): Request;
  /** As that person: for tests. */
  asUser(name: string, role: string): Request;
  header(name: string): string | null;
  /** A part of the path that the route names, `{id}`. */
  param(name: string): string;
  /** A part of the query; null when it is absent or empty. */
  query(name: string): string | null;
  query<T>(name: string, kind: (text: string) => T): T | null;
  text(): string;
  /** The body as JSON. */
  json(): any;
  /** The body as a JSON object of this shape; what is wrong with it becomes an error with the field's place. */
  json<S extends Shape>(shape: S): Shaped<S>;
  /** The person who asks; the host vouches for it. */
  user(): User | null;
  /** The person who asks, if they may change things; else an error with status 403. */
  writer(): User;
  readonly locale: string;
}

/** An answer. */
export class Response {
  constructor(status?: number, body?: string | Uint8Array, headers?: Record<string, string>);
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
  static json(value: unknown, status?: number): Response;
  static text(text: string, status?: number, contentType?: string): Response;
  /** A file to save. */
  static download(name: string, contentType: string, body: string | Uint8Array): Response;
  text(): string;
  /** The body as JSON: for tests. */
  decode(): any;
}

/** What a handler answers: a Response, nothing (204), or a value for JSON. Not a promise: calls of the platform answer at once. */
export type Handler = (request: Request) => Response | unknown;

/** Routes: `{name}` in a path stands for one segment, `{*name}` at its end for all that follow. */
export class Router {
  route(method: string, path: string, handler: Handler): this;
  get(path: string, handler: Handler): this;
  post(path: string, handler: Handler): this;
  put(path: string, handler: Handler): this;
  patch(path: string, handler: Handler): this;
  delete(path: string, handler: Handler): this;
}

/** A CloudEvent. */
export interface Event {
  /** Unique: remember it where handling twice would matter. */
  id: string;
  type: string;
  source: string;
  subject?: string;
  time?: string;
  data?: any;
}

export interface Definition {
  http?: Router;
  /** Input and output fit the schemas of the manifest. */
  actions?: Record<string, (input: any) => unknown>;
  /** Events that the manifest subscribes to. An error has one delivered again, up to five times. */
  events?: (event: Event) => void;
  /** By id of the manifest; `due` in milliseconds since 1970. */
  schedules?: Record<string, (due: number) => void>;
  lifecycle?: { install?(): void; upgrade?(from: string): void; uninstall?(): void };
  /** Says whether the plugin is well after an upgrade; what it throws brings the version before back. */
  health?: () => void;
}

export interface Plugin {
  /** Answers a request: for tests. */
  handle(request: Request): Response;
  /** Carries an action out, JSON text to JSON text: for tests. */
  call(name: string, input: string): string;
  /** Hands an event over, JSON text: for tests. */
  deliver(event: string): void;
  /** A schedule is due: for tests. */
  fire(id: string, due: number): void;
  /** A turn of the plugin's life: for tests. */
  turn(hook: 'install' | 'upgrade' | 'uninstall', from?: string): void;
}

/** Says what the plugin offers; the component exports exactly that. */
export function definePlugin(definition: Definition): Plugin;

/** Writes a value as a CEL literal, for filters: never paste what somebody typed. */
export function cel(value: null | boolean | number | string | (null | boolean | number | string)[]): string;

/** The CMDB. Permissions `cmdb.read`, `cmdb.write`. */
export namespace cmdb {
  interface Instance {
    id: string;
    model: string;
    /** What people call it. */
    label: string;
    /** Counts from 1 with every change. */
    version: number;
    attributes: Record<string, any>;
    createdAt: number;
    updatedAt: number;
  }
  interface Related {
    association: string;
    /** `runs_on`, ... */
    kind: string;
    /** Whether the asked record is the source of the link. */
    forward: boolean;
    model: string;
    id: string;
    label: string;
  }
  function query(model: string, options?: QueryOptions): Query<Instance>;
  function get(model: string, id: string): Instance | null;
  function create(model: string, attributes: object, why?: string | null): Instance;
  /** Nulls of `patch` remove attributes. With a version, only if that is still the record's. */
  function update(model: string, id: string, patch: object, options?: { version?: number | null; why?: string | null }): Instance;
  function remove(model: string, id: string): void;
  function related(model: string, id: string): Related[];
}

/** The plugin's own records. Permission `store`. */
export namespace store {
  interface Document<T> {
    id: string;
    version: number;
    data: T;
    createdAt: number;
    updatedAt: number;
  }
  /** Writes in any case. */
  const ANY: 'any';
  /** The record must not be there. */
  const ABSENT: 'absent';
  class Collection<T extends object = any> {
    constructor(name: string);
    name: string;
    get(id: string): Document<T> | null;
    /** An error with status 404 when there is none. */
    require(id: string): Document<T>;
    put(id: string, data: T): number;
    /** A conflict (409) when the id is taken. */
    insert(id: string, data: T): number;
    /** A conflict (409) when it was changed meanwhile. */
    replace(id: string, version: number, data: T): number;
    delete(id: string): void;
    query(options?: QueryOptions): Query<Document<T>>;
    /** Computed where the records are: the groups in the order of their values. */
    aggregate(measures: Measure[], options?: { by?: Grouping[]; filter?: string; limit?: number }): Group[];
  }
  /** `'count'`, or what of which field. */
  type Measure = 'count' | ['count' | 'sum' | 'avg' | 'min' | 'max', string];
  /** A field, or the span that a time falls in, in UTC. */
  type Grouping = string | [string, 'minute' | 'hour' | 'day' | 'month' | 'year'];
  interface Group {
    /** Its values, in the order in which they were asked for; a span as the start of its time, `2026-01-31`. */
    keys: any[];
    /** What was computed, in the order in which it was asked for; null of nothing. */
    values: any[];
  }
  /** Writes that happen all or not at all: at most 500. */
  class Batch {
    write<T extends object>(to: Collection<T>, id: string, data: T, expected?: 'any' | 'absent' | number): this;
    delete(from: Collection<any>, id: string): this;
    /** The new versions in order, 0 for a deletion. */
    apply(): number[];
  }
}

/** Values by key, in buckets of the plugin's own. Permission `store`. */
export namespace keyvalue {
  /** By name: 0 to 60 of a-z, 0-9, hyphen and underscore. */
  function open(name: string): Bucket;
  /** A key has 1 to 120 bytes, a value at most 700 KiB; at most 500 keys at once. */
  class Bucket {
    constructor(name: string);
    name: string;
    get(key: string): Uint8Array | null;
    text(key: string): string | null;
    json(key: string): any;
    set(key: string, value: Uint8Array | string): void;
    setJson(key: string, value: unknown): void;
    delete(key: string): void;
    exists(key: string): boolean;
    keys(): string[];
    /** Of many at once, none is lost. Answers the new number. */
    increment(key: string, by?: number): number;
    getMany(keys: Iterable<string>): (Uint8Array | null)[];
    setMany(values: Record<string, Uint8Array | string>): void;
    deleteMany(keys: Iterable<string>): void;
  }
}

/** Actions of other plugins. Permission `plugins.use`. */
export namespace plugins {
  /** It acts within its own grant and for the same person; calls that call go four deep. */
  function call<T = any>(plugin: string, action: string, input: unknown): T;
}

/** Requests to the outside. Permission `http.outgoing`. */
export namespace outgoing {
  interface Options {
    headers?: Record<string, string>;
    body?: string | Uint8Array;
    /** Makes the body. */
    json?: unknown;
  }
  /** What came back; 404 and 500 are answers too. */
  class Answer {
    status: number;
    /** Names in lower case. */
    headers: Record<string, string>;
    body: Uint8Array;
    /** Throws unless the status is of 200 to 299. */
    success(): this;
    text(): string;
    json<T = any>(): T;
  }
  function request(method: string, url: string, options?: Options): Answer;
  function get(url: string, options?: Options): Answer;
  function post(url: string, options?: Options): Answer;
  function put(url: string, options?: Options): Answer;
  function remove(url: string, options?: Options): Answer;
}

/** Scripts on nodes. Permissions `jobs.run`, `jobs.read`. */
export namespace jobs {
  interface Script {
    language: 'sh' | 'bash' | 'python3';
    content: string;
  }
  interface Targets {
    filter?: { model: string; cel: string };
    instances?: { model: string; id: string }[];
    nodes?: { node_id: string; env?: Record<string, string> }[];
  }
  /** The JSON of `POST /api/v1/jobs/executions`. */
  interface RunRequest {
    name: string;
    script: Script;
    targets: Targets;
    args?: string[];
    /** Values may be secrets. */
    env?: Record<string, string>;
    user?: string;
    cwd?: string;
    timeout_s?: number;
    wait_s?: number;
    concurrency?: number;
    output_limit?: number;
    /** Asked again with the same key, the platform answers the execution that is there. */
    key?: string;
  }
  interface Execution {
    id: string;
    name: string;
    status: 'running' | 'succeeded' | 'partial' | 'failed' | 'cancelled' | (string & {});
    total: number;
    pending: number;
    running: number;
    succeeded: number;
    failed: number;
    createdAt: number;
    finishedAt: number | null;
  }
  interface TargetResult {
    nodeId: string;
    nodeName: string;
    status: string;
    reason: string | null;
    exitCode: number | null;
    durationMs: number | null;
    stdoutBytes: number;
    stderrBytes: number;
    truncatedBytes: number;
  }
  const Script: { sh(content: string): Script; bash(content: string): Script; python3(content: string): Script };
  const Targets: { filter(model: string, cel?: string): Targets; nodes(ids: string[]): Targets; instances(pairs: [string, string][]): Targets };
  /** Starts a script; it goes on after the call. */
  function run(request: RunRequest): Execution;
  function get(id: string): Execution | null;
  function results(id: string, cursor?: string | null, limit?: number): { items: TargetResult[]; nextCursor: string | null };
  function allResults(id: string): TargetResult[];
  function output(id: string, nodeId: string, stream?: 'stdout' | 'stderr', offset?: number, limit?: number): Uint8Array;
  function outputText(id: string, nodeId: string, stream?: 'stdout' | 'stderr', most?: number): string;
  function cancel(id: string): void;
}

/** Runs of workflows. Permissions `workflow.run`, `workflow.read`. */
export namespace workflow {
  interface Run {
    id: string;
    workflow: string;
    status: 'running' | 'waiting' | 'succeeded' | 'failed' | 'cancelled' | (string & {});
    input: any;
    /** null until it succeeds. */
    output: any;
    error: string | null;
    waiting: string | null;
    startedAt: number;
    finishedAt: number | null;
  }
  interface Schedule {
    name: string;
    /** Five fields, `0 6 * * 1-5`. */
    cron: string;
    workflow: string;
    input?: any;
    /** IANA time zone. */
    timezone?: string;
    enabled?: boolean;
  }
  function start(workflow: string, input: unknown, key?: string | null): Run;
  function get(id: string): Run | null;
  function finished(run: Run): boolean;
  function cancel(id: string): void;
  namespace schedules {
    function put(schedule: Schedule): void;
    function list(): Required<Schedule>[];
    function remove(name: string): void;
    function nextTimes(cron: string, timezone?: string, count?: number): string[];
  }
}

/** The plugin's own figures: on its page and for Prometheus, as `plenum_plugin_<name>`. No permission. */
export namespace metrics {
  type Labels = Record<string, string | number | boolean>;
  /** Adds to a counter: what only grows. */
  function add(name: string, by?: number, labels?: Labels): void;
  /** Sets a gauge: what goes up and down. */
  function set(name: string, value: number, labels?: Labels): void;
  /** Puts a value into a histogram: a duration in seconds, say. */
  function observe(name: string, value: number, labels?: Labels): void;
}

/** Permission `notify.send`. */
export namespace notify {
  /** Tells people by login name, and all with a role; answers how many. With the `key` of an earlier one nobody is told again. */
  function send(message: {
    title: string;
    body?: string;
    level?: 'info' | 'success' | 'warning' | 'error';
    users?: string[];
    roles?: ('administrator' | 'operator' | 'viewer')[];
    /** A path of the portal. */
    link?: string;
    key?: string;
  }): number;
}

/** Permission `events.publish`. */
export namespace events {
  function publish(type: string, subject: string, data: unknown): void;
}

/** The plugin's log. `console` ends there too. */
export namespace log {
  function debug(message: string, fields?: object): void;
  function info(message: string, fields?: object): void;
  function warn(message: string, fields?: object): void;
  function error(message: string, fields?: object): void;
}

/** The call that is being answered. */
export namespace context {
  interface Call {
    id: string;
    plugin: string;
    version: string;
    /** null on a schedule or an event that nobody started. */
    user: User | null;
    /** For an action of a workflow: the same at every attempt, so that work is done once. */
    idempotencyKey: string | null;
  }
  function current(): Call;
  function user(): User;
  function writer(): User;
  function mayWrite(user: User): boolean;
  function settings<T = any>(): T;
  /** The value of a setting with `secret = true`; null when it is not set. */
  function secret(name: string): string | null;
}

/** The time, in milliseconds since 1970 UTC. */
export namespace clock {
  function now(): number;
  function iso(ms: number): string;
}

/** What nobody can guess. */
export namespace random {
  function bytes(count: number): Uint8Array;
  /** 32 hexadecimal digits. */
  function id(): string;
}
