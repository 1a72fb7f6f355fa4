/** Rules for scripts, and another person's approval. */
import { http, segment } from '../../api/client';
import type { Execution, Finding, FindingLevel, Page, Targets } from '../../api/types';

export interface Verdict {
  level: FindingLevel | null;
  findings: Finding[];
}

export interface CommandPattern {
  names?: string[];
  options?: string[];
  operand?: string;
  line?: string;
  writes?: string;
  runs_text_of?: string[];
}

export type Pattern = { kind: 'expression'; expression: string } | { kind: 'command'; commands: CommandPattern[] } | { kind: 'built_in' };

export interface SafetyRule {
  id: string;
  built_in: boolean;
  title: string;
  level: FindingLevel;
  enabled: boolean;
  languages: string[];
  pattern: Pattern;
  why: string;
  advice: string;
  roles: string[];
  targets: string;
  approver: string;
  version: number;
  updated_at: string | null;
  updated_by: string | null;
}

export type RuleBody = Partial<Omit<SafetyRule, 'id' | 'built_in' | 'updated_at' | 'updated_by'>> & { level: FindingLevel };

export interface CheckBody {
  script: { language: string; content: string };
  args?: string[];
  env?: Record<string, string>;
  cwd?: string;
  targets?: Targets;
}

export const safetyApi = {
  check: (b: CheckBody) => http.post<Verdict>('/jobs/scripts/check', b),
  rules: () => http.get<Page<SafetyRule>>('/jobs/rules'),
  createRule: (b: RuleBody) => http.post<SafetyRule>('/jobs/rules', b),
  changeRule: (id: string, b: RuleBody) => http.put<SafetyRule>(segment`/jobs/rules/${id}`, b),
  deleteRule: (id: string) => http.delete(segment`/jobs/rules/${id}`),
  waiting: (mine: boolean) => http.get<Page<Execution>>('/jobs/approvals', { mine: mine ? 'true' : undefined, limit: 200 }),
  approve: (id: string, digest: string, note: string) => http.post<Execution>(segment`/jobs/executions/${id}/approve`, { digest, ...(note ? { note } : {}) }),
  refuse: (id: string, note: string) => http.post<Execution>(segment`/jobs/executions/${id}/refuse`, note ? { note } : {}),
};
