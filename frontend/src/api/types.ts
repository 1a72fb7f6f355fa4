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

/** The figures of the home page; null where the reader may not look. "Recent" is the last 24 hours. */
export interface Overview {
  nodes: { online: number; offline: number } | null;
  executions: { running: number; succeeded_recent: number; failed_recent: number; waiting_approval: number; to_approve: number } | null;
  runs: { running: number; waiting: number } | null;
  apps: { active: number; disabled: number; failed: number } | null;
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
  | 'date'
  | 'ip'
  | 'cidr'
  | 'mac'
  | 'url'
  | 'multi_enum'
  | 'reference'
  | 'references'
  | 'user'
  | 'users'
  | 'secret';

export interface Attribute {
  name: string;
  title: Text;
  kind: AttributeKind;
  unit?: string;
  required?: boolean;
  indexed?: boolean;
  options?: string[];
  columns?: Attribute[];
  section?: string;
  editable?: boolean;
  /** A regular expression of the host's engine; a browser's may read it otherwise, or never end. */
  pattern?: string;
  /** Of a number, or of the length of a text. */
  min?: number;
  max?: number;
  /** What a new instance has when nothing is said. */
  default?: Json;
  /** The model whose instances a reference names. */
  target?: string;
  /** Colours of an enum's values. */
  colours?: Record<string, string>;
  /** A JSON Schema that a json value fits. */
  schema?: Json;
  /** How much it counts for completeness: 0 to 10; 1 when absent. */
  importance?: number;
  /** Sources whose word counts for it; any when absent. */
  sources?: string[];
}

export interface Model {
  name: string;
  title: Text;
  group: string;
  icon?: string | null;
  builtin: boolean;
  version: number;
  display: string;
  attributes: Attribute[];
  unique?: string[][];
  /** What an instance is called, attributes in braces. */
  template?: string;
  /** Attribute sets by which sources recognise an instance, the surest first. */
  identification?: string[][];
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
}

/** A record that a search found, and where. */
export interface SearchHit extends Instance {
  matched: { attribute: string; title: Text; snippet: string }[];
}

export interface SearchAnswer {
  items: SearchHit[];
  counts: { model: string; count: number }[];
  more: boolean;
  next_cursor: string | null;
  building: boolean;
}

export interface Change {
  seq: number;
  version: number;
  at: string;
  actor: string;
  why?: string | null;
  before: Record<string, Json> | null;
  after: Record<string, Json> | null;
}

export interface Related {
  association: string;
  kind: string;
  direction: 'forward' | 'backward';
  model: string;
  id: string;
  label: string;
  /** What is known of the link. */
  attributes?: Record<string, Json>;
}

export type RowOutcome = 'created' | 'updated' | 'unchanged' | 'deleted' | 'failed';

/** What became of many rows. Of a file, `rows` are the first that failed, or when none did the first. */
export interface BulkAnswer {
  /** Not of a dry run, nor of all-or-nothing with a failure. */
  kept: boolean;
  created: number;
  updated: number;
  unchanged: number;
  deleted: number;
  failed: number;
  rows: RowAnswer[];
}

export interface BulkRequest {
  action: 'create' | 'update' | 'upsert' | 'delete';
  /** At most 5,000. */
  rows: { id?: string; version?: number; attributes?: Record<string, Json> }[];
  all: boolean;
  dry_run: boolean;
  why?: string;
}

export interface RowAnswer {
  /** Of a file, the line on which the row begins. */
  row: number;
  outcome: RowOutcome;
  id: string | null;
  label: string | null;
  attribute: string | null;
  code: string | null;
  detail: string | null;
}

export interface ImportQuery {
  key: string[];
  all: boolean;
  dry_run: boolean;
  why?: string;
}

export type Walk = 'around' | 'impact' | 'needs';

export interface GraphNode {
  model: string;
  id: string;
  label: string;
  depth: number;
}

/** An association; its ends are model and id. */
export interface GraphEdge {
  id: string;
  kind: string;
  from: [string, string];
  to: [string, string];
}

/** The records around one, the nearest first: itself. */
export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
  truncated: boolean;
}

export interface FilterCheck {
  ok: boolean;
  count?: number | null;
  unindexed?: string[];
  error?: { code?: string; message: string; position?: number | null; hint?: string | null } | null;
}

export type Cardinality = 'one_to_one' | 'one_to_many' | 'many_to_one' | 'many_to_many';
export type OnDelete = 'unlink' | 'keep' | 'cascade' | 'refuse';

export interface Facets {
  total: number;
  facets: { field: string; values: { value: string | number | boolean | null; count: number }[]; others: number }[];
}

export interface QueryPlan {
  steps: { model: string | null; index: string[] | null }[];
  scans: boolean;
  records: number;
  slow: boolean;
  plan: string[];
}

export interface KeptFilter {
  id: string;
  model: string;
  name: string;
  filter: string;
  shared: boolean;
  owner: string;
  mine: boolean;
}

export interface RecordGroup {
  name: string;
  title: Text;
  model: string;
  filter: string;
  version: number;
}

export interface AssociationKind {
  name: string;
  forward: Text;
  backward: Text;
  cardinality: Cardinality;
  /** What it may link; anything when absent. `*` is any model. */
  pairs?: { from: string; to: string }[];
  on_delete: { source: OnDelete; destination: OnDelete };
  attributes?: Attribute[];
  /** Who suffers when the other end fails. */
  impact: 'none' | 'source' | 'destination';
  version: number;
  builtin: boolean;
  single?: boolean;
}

export interface DataRule {
  models: string[];
  filter?: string;
  write: boolean;
  hidden?: string[];
}

/** Which records people see and change. */
export interface DataRole {
  name: string;
  title: Record<string, string>;
  description?: string;
  rules: DataRule[];
  /** Ids of users. */
  members: string[];
  version: number;
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
  state_since: string;
  load_1m: number | null;
}

export interface EnrolmentToken {
  id: string;
  created_by: string;
  created_at: string;
  expires_at: string;
  used_at: string | null;
  node_id: string | null;
}

export interface NewEnrolmentToken {
  id: string;
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
export type ExecutionStatus = 'waiting_approval' | 'running' | 'succeeded' | 'partial' | 'failed' | 'cancelled';

export interface Targets {
  filter?: { model: string; cel: string } | null;
  instances?: { model: string; id: string }[];
  nodes?: { node_id: string; env?: Record<string, string> }[];
  earlier?: { execution: string; statuses?: TargetStatus[]; nodes?: string[] } | null;
  addresses?: string[];
  skip_unmatched?: boolean;
}

export interface Strategy {
  batches: string;
  pause_s: number;
  tolerate: string | null;
  total_timeout_s: number | null;
}

export interface RetryRequest {
  statuses?: TargetStatus[];
  nodes?: string[];
  env?: Record<string, string>;
  key?: string;
}

export interface RunRequest {
  name: string;
  script: { language: 'bash' | 'sh' | 'python3'; content: string };
  args?: string[];
  env?: Record<string, string>;
  user?: string | null;
  cwd?: string | null;
  timeout_s?: number;
  wait_s?: number;
  targets: Targets;
  concurrency?: number;
  strategy?: Strategy;
  output_limit?: number;
  key?: string;
  retry_of?: string;
}

export type FindingLevel = 'warn' | 'approve' | 'block';

/** Something in a script that a rule looks for. */
export interface Finding {
  rule: string;
  title: string;
  level: FindingLevel;
  line: number;
  column: number;
  excerpt: string;
  why: string;
  advice: string;
  through: string[];
}

export interface ExecutionApproval {
  digest: string;
  since: string;
  until: string;
  approver: string;
  asker: string | null;
  decision: 'approved' | 'refused' | 'expired' | null;
  decided_by: string | null;
  decided_at: string | null;
  note: string | null;
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
  wait_s: number;
  concurrency: number;
  output_limit: number;
  strategy: Strategy;
  progress: {
    batch: number;
    batches: number;
    since: string;
    resume_at: string | null;
    wait_until: string;
    deadline: string | null;
    stopped_at: string | null;
    stop_code: string | null;
    stop_reason: string | null;
  };
  plugin: string | null;
  cancelled_by: string | null;
  retry_of: string | null;
  created_by: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  duration_ms: number | null;
  origin: string | null;
  summary: Record<'total' | 'pending' | 'waiting' | 'running' | 'succeeded' | 'failed' | 'timed_out' | 'cancelled' | 'lost' | 'rejected', number>;
  findings: Finding[];
  approval: ExecutionApproval | null;
}

export interface TargetResult {
  node_id: string;
  node_name: string;
  status: TargetStatus;
  instances: { model: string; id: string }[];
  waiting_for: string | null;
  waiting_since: string | null;
  waiting_until: string | null;
  batch: number;
  fault: Fault | null;
  output_hash: string | null;
  exit_code: number | null;
  signal: number | null;
  code: string | null;
  message: string | null;
  started_at: string | null;
  finished_at: string | null;
  duration_ms: number | null;
  stdout?: string;
  stderr?: string;
  stdout_bytes: number;
  stderr_bytes: number;
  truncated_bytes: number;
  env: string[];
  result?: unknown;
  result_error?: string | null;
}

export type Fault = 'offline' | 'agent' | 'account' | 'timeout' | 'script' | 'output_lost' | 'person' | 'stopped' | 'unknown';

export interface ResultGroup {
  status: TargetStatus;
  fault: Fault | null;
  exit_code: number | null;
  signal: number | null;
  code: string | null;
  output_hash: string | null;
  count: number;
  node_id: string;
  node_name: string;
  stdout_bytes: number;
  stderr_bytes: number;
}

export interface OutputMatches {
  items: { node_id: string; node_name: string; stream: 'stdout' | 'stderr'; lines: { number: number; text: string }[]; count: number }[];
  searched: number;
  next_cursor: string | null;
}

export interface OutputPiece {
  offset: number;
  text: string;
  next_offset: number;
  end: boolean;
  truncated_bytes: number;
}

export interface TargetPreview {
  total: number;
  items: { node_id: string; node_name: string; state: 'online' | 'offline'; instances: { model: string; id: string }[] }[];
  unreachable: { instance: { model: string; id: string }; label: string; reason: string }[];
  unmatched: { text: string; reason: string }[];
  unmatched_total: number;
}

// ---- workflows ----
export interface WorkflowDefinition {
  name: string;
  title: string;
  summary: string | null;
  version: number;
  owner: string | null;
  source: string;
  input_schema: Json;
  created_at: string;
  updated_at: string;
  updated_by: string;
}

export interface WorkflowVersion {
  version: number;
  created_at: string;
  /** Absent in lists. */
  source?: string;
}

/** What a call answers in a rehearsal, or how it fails. */
export interface RehearsedAnswer {
  output?: Json;
  error?: Json;
}

export interface Rehearsal {
  status: Run['status'];
  tasks: Task[];
  output: Json;
  error: Json;
  stopped: string | null;
  unanswered: string[];
}

/** Durations in milliseconds. */
export interface Spread {
  p50: number;
  p90: number;
  p95: number;
  p99: number;
  max: number;
}

export interface RunStatistics {
  from: string;
  to: string;
  runs: number;
  more: boolean;
  by_status: Partial<Record<Run['status'], number>>;
  durations: Spread | null;
  buckets: { at: string; succeeded: number; failed: number; others: number; p50: number | null }[];
  workflows: { workflow: string; runs: number; failed: number; durations: Spread | null }[];
  causes: { workflow: string; type: string; title: string; instance: string; runs: number; last_run: string; last_at: string }[];
  tasks: { workflow: string; pointer: string; name: string; what: string; count: number; failed: number; durations: Spread; total_ms: number }[];
  task_runs: number;
}

export interface ValidationResult {
  ok: boolean;
  errors: { pointer: string; message: string }[];
  title: string | null;
  input_schema: Json;
}

export interface Waiting {
  reason: string;
  since: string;
  until: string | null;
  /** An operator holds it back. */
  paused: boolean;
  /** Who may move it on: whoever has this. */
  permission: string;
}

/** What an operator does with a run or a task. */
export type Act = 'pause' | 'resume' | 'retry' | 'skip' | 'fail' | 'jump' | 'restart' | 'cancel';

export type TaskStatus = 'pending' | 'running' | 'waiting' | 'succeeded' | 'failed' | 'skipped' | 'cancelled';
export interface Task {
  id: number;
  parent: number | null;
  path: string;
  action: string | null;
  pointer: string;
  name: string;
  kind: string;
  status: TaskStatus;
  attempt: number;
  input: Json;
  output: Json;
  error: Json;
  started_at: string;
  finished_at: string | null;
  duration_ms: number | null;
  waiting: Waiting | null;
  acts: Act[];
}

export interface Run {
  id: string;
  workflow: string;
  version: number;
  key: string | null;
  status: 'running' | 'waiting' | 'succeeded' | 'failed' | 'cancelled';
  started_by: string;
  started_at: string;
  finished_at: string | null;
  duration_ms: number;
  input: Json;
  output: Json;
  error: Json;
  waiting: Waiting | null;
  tasks: Task[];
  task_count: number;
  acts: Act[];
  origin: string | null;
}

/** One of those whom a run asks, and the answer. */
export interface Seat {
  holder: string;
  voter: string | null;
  decision: 'approve' | 'reject' | null;
  comment: string | null;
  data: Json;
  at: string | null;
}

/** A question that a run asks people. */
export interface Approval {
  id: string;
  run: string;
  workflow: string;
  task: string;
  title: string;
  text: string | null;
  mode: 'any' | 'all' | 'share' | 'in_turn';
  share: number | null;
  form: Json;
  status: 'open' | 'approved' | 'rejected' | 'expired' | 'withdrawn';
  escalated: boolean;
  created_at: string;
  due_at: string | null;
  ended_at: string | null;
  seats: Seat[];
  mine: boolean;
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
  created_by: string;
  created_at: string;
  next_at: string | null;
  last_at: string | null;
  last_run: string | null;
  last_error: string | null;
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
}

export interface Signature {
  state: 'trusted' | 'unknown_publisher' | 'unsigned' | 'modified';
  key_id: string | null;
  publisher: string | null;
  /** Why it is not trusted. */
  reason?: string | null;
}

export interface CatalogEntry {
  /** Null when the package cannot be read; `problem` then says why. */
  id: string | null;
  file: string;
  name: Text;
  description: Text;
  version: string | null;
  publisher: string | null;
  license: string | null;
  categories: string[];
  icon_url: string | null;
  signature: Signature;
  permissions: PermissionAsk[];
  api: string | null;
  size: number;
  digest: string;
  problem: string | null;
  installed: string | null;
  /** Whether a newer version than the installed one can be installed. */
  upgrade: boolean;
  /** Names of the catalogs that have it. */
  catalogs: string[];
  /** Plugins that it needs: versions by id. */
  requires: Record<string, string>;
  /** Markdown, its start; only where one plugin is asked for. */
  changelog: string | null;
  /** Addresses of images. */
  screenshots: string[];
  /** Newest first. */
  versions: CatalogVersion[];
}

export interface CatalogVersion {
  version: string;
  digest: string;
  size: number;
  api: string;
  /** Chosen only when it is asked for. */
  prerelease: boolean;
  state: Signature['state'];
  problem: string | null;
  catalogs: string[];
}

/** Where a catalog stands. */
export interface CatalogSource {
  name: string;
  source: string;
  kind: 'folder' | 'web' | 'registry';
  problem: string | null;
  packages: number;
  serial: number | null;
  publisher: string | null;
  expires_at: string | null;
  tried_at: string | null;
  fetched_at: string | null;
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
  description: Text;
  publisher: string | null;
  version: string;
  digest: string;
  status: 'active' | 'disabled' | 'compiling' | 'failed' | 'quarantined';
  status_reason: string | null;
  icon_url: string | null;
  pages: PluginPage[];
  permissions: PermissionAsk[];
  /** Scopes by permission. */
  granted: Record<string, Record<string, string[]>>;
  signature: Signature;
  actions: string[];
  installed_at: string;
  installed_by: string;
  limits: Record<string, number> | null;
  stats: Record<string, number | null> | null;
}

export interface Setting {
  name: string;
  title?: Text;
  description?: Text;
  type: 'string' | 'integer' | 'number' | 'boolean';
  default?: Json;
  required?: boolean;
  options?: string[];
  secret?: boolean;
}

export interface PluginLog {
  at: string;
  level: string;
  call: string;
  message: string;
  fields: Json;
}

type Scope = Record<string, string[]>;

/** What a plugin uses, beside what it may use; counted from the host's start, percentiles of the last minutes. */
export interface PluginMetrics {
  calls: number;
  errors: number;
  refused: number;
  running: number;
  queued: number;
  queue_peak: number;
  queue_limit: number;
  p50_ms: number;
  p95_ms: number;
  p99_ms: number;
  cpu_ms: number;
  cpu_left_ms: number;
  cpu_per_minute_ms: number;
  memory_peak_bytes: number;
  storage_bytes: number;
  storage_limit_bytes: number;
  document_limit_bytes: number;
  outgoing: number;
  outgoing_refused: number;
  outgoing_per_minute: number;
  outgoing_left: number;
  log_lines_per_minute: number;
  log_dropped: number;
  quarantine: string | null;
  quarantine_retry_after_s: number | null;
}

export interface PermissionUse {
  name: string;
  reason: Text;
  asked: Scope | null;
  granted: Scope | null;
  pending: boolean;
  uses: number;
  last_used_at: string | null;
  refusals: number;
  last_refused_at: string | null;
}

export interface PermissionChange {
  name: string;
  change: 'added' | 'removed' | 'changed' | 'same';
  from: Scope | null;
  to: Scope | null;
  granted: Scope | null;
  needs_grant: boolean;
  reason: Text;
}

export interface UpgradePlan {
  from: string;
  to: string;
  permissions: PermissionChange[];
  needs_grant: boolean;
}

export interface PluginVersion {
  version: string;
  digest: string;
  change: 'installed' | 'upgraded' | 'rolled_back' | 'failed' | 'uninstalled';
  reason: string | null;
  at: string;
  by: string;
}

/** A call of an app, part by part; times in microseconds. */
export interface PluginTrace {
  call: string;
  version: string;
  what: string;
  at: string;
  duration_us: number;
  cpu_us: number;
  error: string | null;
  spans: { name: string; start_us: number; duration_us: number; error: string | null }[];
  more_spans: number;
}

/** What an app counts itself. */
export interface PluginFigure {
  name: string;
  kind: 'counter' | 'gauge' | 'histogram';
  series: { labels: Record<string, string>; value: number; count: number | null }[];
}

/** What an app told somebody. */
export interface Notification {
  id: string;
  plugin: string;
  level: 'info' | 'success' | 'warning' | 'error';
  title: string;
  body: string;
  link: string | null;
  at: string;
  read_at: string | null;
}

export interface PluginTrap {
  at: string;
  call: string;
  version: string;
  what: string;
  code: string;
  message: string;
  backtrace: string;
  input: string | null;
  log: PluginLog[];
}

/** What an import of an app's data did, or would do. */
export interface DataImport {
  plugin: string;
  dry_run: boolean;
  /** The version that the data come from. */
  version: string;
  installed_version: string;
  exported_at: string;
  /** `~keyvalue` holds keys and values. */
  collections: { name: string; records: number; replaces: number }[];
  records: number;
  replaces: number;
  /** Names of those that are taken. */
  settings: string[];
  warnings: string[];
}
