/** Calls and shapes of safe changes of models. */
import { http, segment } from './client';
import type { Attribute, Json, Model, Page } from './types';

export interface MisfitExample {
  id: string;
  label: string;
  value: Json;
  message: string;
}

export interface RuleReport {
  rule: string;
  count: number;
  mend: 'clear' | 'fill' | null;
  examples: MisfitExample[];
}

export interface AttributeReport {
  converted: number;
  removed: number;
  restored: number;
  problems: RuleReport[];
}

export interface ModelReport {
  records: number;
  checked: number;
  rewritten: number;
  broken: number;
  attributes: Record<string, AttributeReport>;
}

export type ModelChangeState = 'waiting' | 'running' | 'checked' | 'refused' | 'done' | 'failed' | 'cancelled';

export interface ModelChange {
  id: string;
  model: string;
  state: ModelChangeState;
  dry_run: boolean;
  mend: boolean;
  report: ModelReport;
  started_by: string;
  created_at: string;
  finished_at: string | null;
  error: string | null;
}

export type RemovedAttribute = Attribute & { removed_by: string; removed_at: string; values: number };

export interface ProposalOptions {
  dry_run: boolean;
  misfits: 'refuse' | 'mend';
}

export const remodel = {
  propose: (model: Partial<Model> & { name: string }, version: number, o: ProposalOptions) =>
    http.post<ModelChange>(segment`/cmdb/models/${model.name}/changes`, { model, ...o }, undefined, { 'if-match': `"${version}"` }),
  changes: (model: string) => http.get<Page<ModelChange>>(segment`/cmdb/models/${model}/changes`),
  change: (id: string) => http.get<ModelChange>(segment`/cmdb/model-changes/${id}`),
  cancel: (id: string) => http.delete<ModelChange>(segment`/cmdb/model-changes/${id}`),
  removed: (model: string) => http.get<Page<RemovedAttribute>>(segment`/cmdb/models/${model}/removed`),
  restore: (model: string, attribute: string, o: ProposalOptions) => http.post<ModelChange>(segment`/cmdb/models/${model}/removed/${attribute}/restore`, o),
};
