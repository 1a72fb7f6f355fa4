/** What nodes measure, and how their agents are told to work. */
import { http, segment } from '../../api/client';
import type { Page } from '../../api/types';

export interface Metric {
  name: string;
  labels: Record<string, string>;
  kind: 'counter' | 'gauge' | 'untyped';
  value: number | null;
}

export interface CheckState {
  name: string;
  kind: string;
  target: string;
  ok: boolean;
  message: string;
  at: string;
}

type Values = (number | null)[];

export interface MetricHistory {
  times: number[];
  cpu: Values;
  memory: Values;
  disk: Values;
  disk_read: Values;
  disk_write: Values;
  network_in: Values;
  network_out: Values;
  load_1m: Values;
}

export interface NodeMetrics {
  received_at: string | null;
  history: MetricHistory;
  checks: CheckState[];
  values: Metric[];
  total: number;
  dropped_batches: number;
}

export interface Scrape {
  name: string;
  url: string;
  timeout_s?: number;
  max_samples?: number;
}

export interface Check {
  name: string;
  kind: string;
  target: string;
  least?: number;
}

export interface PolicySettings {
  metrics_s?: number | null;
  metrics_send_s?: number | null;
  scrapes?: Scrape[];
  checks?: Check[];
}

export interface NodePolicy {
  id: string;
  name: string;
  nodes: string;
  place: number;
  settings: PolicySettings;
  version: number;
  updated_at: string;
  updated_by: string;
}

export interface PolicyBody {
  name: string;
  nodes: string;
  place: number;
  settings: PolicySettings;
  version?: number;
}

export interface NodeSettings {
  settings: PolicySettings;
  policies: string[];
}

export const nodeApi = {
  metrics: (id: string, q: { prefix?: string; limit?: number } = {}) => http.get<NodeMetrics>(segment`/nodes/${id}/metrics`, q),
  settings: (id: string) => http.get<NodeSettings>(segment`/nodes/${id}/settings`),
  policies: () => http.get<Page<NodePolicy>>('/node-policies'),
  createPolicy: (b: PolicyBody) => http.post<NodePolicy>('/node-policies', b),
  changePolicy: (id: string, b: PolicyBody) => http.put<NodePolicy>(segment`/node-policies/${id}`, b),
  deletePolicy: (id: string) => http.delete<void>(segment`/node-policies/${id}`),
};
