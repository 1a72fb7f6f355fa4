// Types of @plenum/sdk/testing.
import type { Event, jobs, store, workflow } from './index.js';

/** What the next job will have done, by node. */
export class Job {
  target(nodeId: string, nodeName: string, exitCode?: number, stdout?: string, stderr?: string): this;
  /** A node whose script did not come to an end: `lost`, `timed_out`, `rejected`... */
  unreached(nodeId: string, nodeName: string, status: string, reason: string): this;
}

/** The platform in memory: from now on, until the next one is made. */
export class Fake {
  user(name: string | null, role?: string): void;
  key(key: string): void;
  settings(settings: object): void;
  /** A secret setting. */
  secret(name: string, value: string): void;
  /** Says what actions of other plugins answer. */
  onCall(f: (plugin: string, action: string, input: any) => unknown): void;
  calls(): [string, any][];
  /** Says what the outside answers: a status, and bytes, text or what becomes JSON. */
  onRequest(f: (method: string, url: string, body: Uint8Array) => [number, unknown]): void;
  outgoing(): string[];
  bucket(name: string): Map<string, Uint8Array>;
  at(now: number): void;
  advance(ms: number): void;
  /** Takes a permission away, `cmdb.write`. */
  deny(permission: string): void;
  instance(model: string, attributes: object): string;
  link(kind: string, source: [string, string], target: [string, string]): void;
  job(job: Job): void;
  nextTimes(times: string[]): void;
  finishRun(id: string, end: { output?: unknown; error?: string }): void;
  requests(): jobs.RunRequest[];
  runs(): workflow.Run[];
  schedules(): Required<workflow.Schedule>[];
  events(): Event[];
  figures(): { kind: 'counter' | 'gauge' | 'histogram'; name: string; labels: Record<string, string>; value: number }[];
  notifications(): { users: string[]; roles: string[]; level: string; title: string; body: string; link?: string; key?: string }[];
  log(): { level: 'debug' | 'info' | 'warn' | 'error'; message: string; fields: any }[];
  collection(name: string): store.Document<any>[];
}
