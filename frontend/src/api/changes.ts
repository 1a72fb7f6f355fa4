/** Calls and shapes of change requests. */
import { http, segment } from './client';
import type { Json, Page } from './types';
import type { Text } from '../i18n';

export type ChangeAct = 'create' | 'update' | 'delete';
export const CHANGE_STATES = ['open', 'approved', 'running', 'done', 'rejected', 'withdrawn', 'conflict', 'failed'] as const;
export type ChangeState = (typeof CHANGE_STATES)[number];

export interface WantedChange {
  act: ChangeAct;
  model: string;
  id?: string;
  attributes?: Record<string, Json>;
  version?: number;
}

export interface ChangeItem extends WantedChange {
  label: string;
  before: Record<string, Json>;
}

export interface ChangeRequest {
  id: string;
  state: ChangeState;
  title: string;
  reason: string | null;
  ticket: string | null;
  items: ChangeItem[];
  workflow: string | null;
  run: string | null;
  needs: { rule: string; approvers: string[] }[];
  votes: { rule: string; voter: string; approve: boolean; comment: string | null; at: string }[];
  hash: string;
  requested_by: string;
  mine: boolean;
  error: string | null;
  records: string[];
  created_at: string;
  updated_at: string;
}

export interface NewChange {
  title: string;
  reason?: string;
  ticket?: string;
  items: WantedChange[];
  workflow?: string;
  input?: Record<string, Json>;
}

export interface ChangeRule {
  name: string;
  title?: Text;
  models: string[];
  acts: ChangeAct[];
  attributes: string[];
  filter?: string | null;
  at_least: number;
  approvers: string[];
  enabled: boolean;
}

export const changes = {
  list: (q: { state?: string; record?: string; mine?: string; cursor?: string; limit?: number }) => http.get<Page<ChangeRequest>>('/cmdb/change-requests', q),
  get: (id: string) => http.get<ChangeRequest>(segment`/cmdb/change-requests/${id}`),
  make: (b: NewChange) => http.post<ChangeRequest>('/cmdb/change-requests', b),
  decide: (id: string, b: { approve: boolean; hash: string; comment?: string }) => http.post<ChangeRequest>(segment`/cmdb/change-requests/${id}/decide`, b),
  withdraw: (id: string) => http.post<ChangeRequest>(segment`/cmdb/change-requests/${id}/withdraw`),
  renew: (id: string) => http.post<ChangeRequest>(segment`/cmdb/change-requests/${id}/renew`),
  rules: () => http.get<Page<ChangeRule>>('/cmdb/change-rules'),
  putRule: (r: ChangeRule) => http.put<void>(segment`/cmdb/change-rules/${r.name}`, r),
  deleteRule: (name: string) => http.delete<void>(segment`/cmdb/change-rules/${name}`),
};
