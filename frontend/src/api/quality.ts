/** Calls and shapes of the sources of the CMDB. */
import { http, segment } from './client';
import type { Json, Page } from './types';
import type { Text } from '../i18n';

export type OnNew = 'create' | 'review' | 'ignore';

export interface SourceSettings {
  title?: Text;
  stale_after_s: number | null;
  vanish_after_s: number | null;
  archive_after_s: number | null;
  on_new: OnNew;
}

export interface Source {
  name: string;
  settings: SourceSettings;
  named: boolean;
  records: number;
  stale: number;
  vanished: number;
  last_seen: string | null;
}

export interface SourceValue {
  source: string;
  value: Json;
  at: string;
  counts: boolean;
  stale: boolean;
}

export interface RecordSources {
  sources: { source: string; external_id: string | null; first_seen: string; last_seen: string; stale: boolean; vanished_at: string | null }[];
  attributes: { attribute: string; conflict: boolean; values: SourceValue[] }[];
}

export interface PrecedenceRule {
  model: string;
  attribute: string;
  ranks: string[];
}

export type ReviewState = 'open' | 'accepted' | 'merged' | 'rejected';

export interface Review {
  id: string;
  source: string;
  model: string;
  external_id: string | null;
  attributes: Record<string, Json>;
  reason: 'new' | 'ambiguous' | 'taken';
  candidates: string[];
  state: ReviewState;
  record: string | null;
  note: string | null;
  decided_by: string | null;
  created_at: string;
  updated_at: string;
}

export interface Verdict {
  decision: 'accept' | 'merge' | 'reject' | 'reopen';
  record?: string;
  note?: string;
}

export const quality = {
  sources: () => http.get<Page<Source>>('/cmdb/sources'),
  putSource: (name: string, b: SourceSettings) => http.put<void>(segment`/cmdb/sources/${name}`, b),
  deleteSource: (name: string) => http.delete<void>(segment`/cmdb/sources/${name}`),
  precedence: () => http.get<Page<PrecedenceRule>>('/cmdb/precedence'),
  putPrecedence: (b: PrecedenceRule) => http.put<void>('/cmdb/precedence', b),
  recordSources: (model: string, id: string) => http.get<RecordSources>(segment`/cmdb/models/${model}/instances/${id}/sources`),
  withdraw: (model: string, id: string, source: string, attribute: string) =>
    http.delete<unknown>(segment`/cmdb/models/${model}/instances/${id}/sources/${source}` + `?attribute=${encodeURIComponent(attribute)}`),
  reviews: (q: { state?: string; cursor?: string; limit?: number }) => http.get<Page<Review>>('/cmdb/reviews', q),
  decide: (id: string, b: Verdict) => http.post<Review>(segment`/cmdb/reviews/${id}/decision`, b),
};

export interface HealthRun {
  id: string;
  state: 'waiting' | 'running' | 'done' | 'failed';
  started_by: string;
  created_at: string;
  finished_at: string | null;
  records: number;
  error: string | null;
}

export interface Score {
  scope: 'all' | 'model' | 'team' | 'business';
  name: string;
  label: string;
  day: string;
  score: number;
  records: number;
}

export type Check = { kind: string } & Record<string, Json>;

export interface HealthRule {
  id: string;
  title?: Text;
  models: string[];
  check: Check;
  weight: number;
  owner?: string | null;
  enabled: boolean;
}

export interface StoredRule extends HealthRule {
  builtin: boolean;
  findings: number;
}

export interface Finding {
  rule: string;
  model: string;
  record: string;
  label: string;
  owner: string | null;
  detail: Record<string, Json>;
  since: string;
}

export interface Repair {
  before: Record<string, Json>;
  after: Record<string, Json>;
  merged: string | null;
}

export const health = {
  overview: () => http.get<{ run: HealthRun | null; scores: Score[] }>('/cmdb/health'),
  trend: (scope: string, name: string) => http.get<Page<Score>>('/cmdb/health/trend', { scope, name }),
  start: () => http.post<HealthRun>('/cmdb/health/runs', {}),
  rules: () => http.get<Page<StoredRule>>('/cmdb/health/rules'),
  putRule: (r: HealthRule) => http.put<void>(segment`/cmdb/health/rules/${r.id}`, r),
  deleteRule: (id: string) => http.delete<void>(segment`/cmdb/health/rules/${id}`),
  findings: (q: { rule?: string; model?: string; cursor?: string; limit?: number }) => http.get<Page<Finding>>('/cmdb/health/findings', q),
  record: (model: string, id: string) => http.get<{ score: number | null; findings: Finding[] }>(segment`/cmdb/models/${model}/instances/${id}/health`),
  repair: (b: { rule: string; record: string; dry_run: boolean }) => http.post<Repair>('/cmdb/health/repair', b),
};
