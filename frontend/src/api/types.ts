/** The shapes of the host's API, as its contract gives them. */
import type { Text } from '../i18n';

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  total: number | null;
}

export interface ListParams {
  filter?: string;
  search?: string;
  sort?: string;
  cursor?: string;
  limit?: number;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Role = 'administrator' | 'operator' | 'viewer';

export interface Session {
  id: string;
  name: string;
  display_name: string;
  role: Role;
  permissions: string[];
}

export interface User {
  id: string;
  name: string;
  display_name: string;
  role: Role;
  disabled: boolean;
  created_at: string;
  updated_at: string;
}

export interface Token {
  id: string;
  name: string;
  role: Role;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  token?: string;
}

export interface AuditEntry {
  seq: number;
  at: string;
  actor: string;
  action: string;
  target: string;
  allowed: boolean;
  reason: string | null;
  before: Json;
  after: Json;
}

export interface SystemInfo {
  version: string;
  database: string;
  uptime_s: number;
  agent_address: string;
}

// ---- CMDB ----
export type AttributeKind =
  | 'text'
  | 'long_text'
  | 'integer'
  | 'decimal'
  | 'boolean'
  | 'timestamp'
  | 'enum'
  | 'list'
  | 'table'
  | 'json'
  | 'reference';

export interface EnumOption {
  value: string;
  title?: Text;
  color?: string;
}

export interface Column {
  name: string;
  title?: Text;
  kind?: AttributeKind;
  unit?: string | null;
}

export interface Attribute {
  name: string;
  title: Text;
  description?: Text;
  kind: AttributeKind;
  unit?: string | null;
  required?: boolean;
  indexed?: boolean;
  unique?: boolean;
  options?: EnumOption[] | null;
  columns?: Column[] | null;
  section?: string | null;
  editable?: boolean;
  source?: string | null;
  model?: string | null;
}

export interface Model {
  name: string;
  title: Text;
  description?: Text;
  group: string;
  icon?: string | null;
  builtin: boolean;
  version: number;
  display: string;
  attributes: Attribute[];
  unique?: string[][];
  count?: number | null;
}

export interface Instance {
  id: string;
  model: string;
  label: string;
  version: number;
  attributes: Record<string, Json>;
  created_at: string;
  updated_at: string;
  source?: string | null;
}

export interface Change {
  version: number;
  at: string;
  actor: string;
  action: string;
  why?: string | null;
  before: Record<string, Json> | null;
  after: Record<string, Json> | null;
}

export interface Related {
  association_id: string;
  kind: string;
  direction: 'out' | 'in';
  model: string;
  id: string;
  label: string;
}

export interface FilterCheck {
  ok: boolean;
  count?: number | null;
  error?: { code?: string; message: string; position?: number | null; hint?: string | null } | null;
}

export interface SearchHit {
  model: string;
  id: string;
  label: string;
  detail?: string | null;
}

// ---- nodes and jobs ----
export interface Node {
  id: string;
  name: string;
  state: 'online' | 'offline' | 'revoked';
  host_instance_id: string | null;
  address: string | null;
  agent_version: string | null;
  enrolled_at: string;
  last_seen_at: string | null;
  running: number;
}

export interface EnrolmentToken {
  token: string;
  expires_at: string;
  command: string;
}

export type TargetStatus =
  | 'pending'
  | 'waiting'
  | 'running'
  | 'succeeded'
  | 'failed'
  | 'timed_out'
  | 'cancelled'
  | 'lost'
  | 'rejected';
export type ExecutionStatus = 'running' | 'succeeded' | 'partial' | 'failed' | 'cancelled';

export interface Targets {
  filter?: { model: string; cel: string } | null;
  instances?: [string, string][] | null;
  nodes?: { node_id: string; env?: Record<string, string> }[] | null;
}

export interface RunRequest {
  name: string;
  script: { language: 'bash' | 'sh' | 'python3'; content: string };
  args?: string[];
  env?: Record<string, string>;
  user?: string | null;
  cwd?: string | null;
  timeout_s?: number;
  targets: Targets;
  concurrency?: number;
  output_limit?: number;
  key?: string;
}

export interface Execution {
  id: string;
  name: string;
  status: ExecutionStatus;
  script: { language: string; content: string };
  args: string[];
  env: string[];
  user: string | null;
  cwd: string | null;
  timeout_s: number;
  concurrency?: number;
  created_by: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  duration_ms: number | null;
  origin: string | null;
  targets?: Targets | null;
  summary: Record<'total' | 'pending' | 'running' | 'succeeded' | 'failed' | 'timed_out' | 'cancelled' | 'lost' | 'rejected', number>;
}

export interface TargetResult {
  node_id: string;
  node_name: string;
  status: TargetStatus;
  waiting_for: string | null;
  exit_code: number | null;
  signal: string | number | null;
  error?: string | null;
  started_at: string | null;
  finished_at: string | null;
  duration_ms: number | null;
  stdout?: string | null;
  stderr?: string | null;
  stdout_bytes?: number | null;
  stderr_bytes?: number | null;
  truncated_bytes: number | null;
}

export interface TargetPreview {
  total: number;
  items: { node_id: string; node_name: string; model?: string; label?: string; state?: string }[];
  unreachable: number | { label: string; reason: string }[];
}

// ---- workflows ----
export interface WorkflowDefinition {
  name: string;
  title?: string | null;
  summary?: string | null;
  version: string | number;
  owner: string | null;
  source: string;
  input_schema?: Json;
  updated_at: string;
  updated_by?: string | null;
}

export interface ValidationResult {
  ok: boolean;
  errors?: { pointer?: string | null; message: string; line?: number | null; column?: number | null }[];
}

export interface Waiting {
  reason: string;
  since?: string | null;
  until?: string | null;
}

export type TaskStatus = 'pending' | 'running' | 'waiting' | 'succeeded' | 'failed' | 'skipped' | 'cancelled';
export interface Task {
  pointer: string;
  name: string;
  kind: string;
  status: TaskStatus;
  attempt: number;
  input: Json;
  output: Json;
  error: Json;
  started_at: string | null;
  finished_at: string | null;
  waiting: Waiting | null;
}

export interface Run {
  id: string;
  workflow: string;
  version: string | number;
  status: 'running' | 'waiting' | 'succeeded' | 'failed' | 'cancelled';
  started_by: string;
  started_at: string;
  finished_at: string | null;
  duration_ms: number | null;
  input: Json;
  output: Json;
  error: Json;
  waiting: Waiting | null;
  tasks?: Task[];
  origin: string | null;
}

export interface Schedule {
  id: string;
  name: string;
  cron: string;
  timezone: string;
  target: { kind: 'workflow' | 'action'; name: string };
  input: Json;
  enabled: boolean;
  owner_plugin: string | null;
  next_at?: string | null;
  last_at?: string | null;
}

export interface ActionInfo {
  name: string;
  title: Text;
  description: Text;
  input_schema: Json;
  output_schema: Json;
}

// ---- plugins ----
export interface PermissionAsk {
  name: string;
  scope?: Record<string, string[]> | null;
  reason: Text;
  optional?: boolean;
}

export interface Signature {
  state: 'trusted' | 'unknown_publisher' | 'unsigned' | 'modified';
  key_id: string | null;
  publisher: string | null;
}

export interface CatalogEntry {
  id: string;
  name: Text;
  publisher: string;
  version: string;
  description: Text;
  icon_url: string | null;
  signature: Signature;
  permissions: PermissionAsk[];
  installed: string | null;
  size: number | null;
  api: string;
  compatible?: boolean;
  categories?: string[];
  license?: string | null;
  readme?: string | null;
}

export interface PluginPage {
  id: string;
  title: Text;
  kind: 'framed' | 'declared';
  url: string;
  icon: string | null;
}

export interface Plugin {
  id: string;
  name: Text;
  publisher: string;
  version: string;
  status: 'active' | 'disabled' | 'compiling' | 'failed';
  status_reason: string | null;
  description: Text;
  pages: PluginPage[];
  permissions: PermissionAsk[];
  granted: Record<string, Record<string, string[]>> | string[];
  signature: Signature;
  installed_at: string;
  limits: Record<string, number>;
  stats: Record<string, number | null>;
}

export interface Setting {
  name: string;
  title?: Text;
  description?: Text;
  type: 'string' | 'integer' | 'number' | 'boolean';
  default?: Json;
  enum?: string[];
  secret?: boolean;
}

export interface PluginLog {
  at: string;
  level: string;
  message: string;
  call?: string | null;
}
