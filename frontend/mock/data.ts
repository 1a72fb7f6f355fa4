/** Invented but plausible records for developing the portal without a host. */
const GiB = 1024 ** 3;

export const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
export const text = (en: string, zh: string) => ({ en, zh });

type Attribute = Record<string, unknown>;
const a = (name: string, en: string, zh: string, kind = 'text', more: Attribute = {}): Attribute => ({ name, title: text(en, zh), kind, required: false, indexed: false, editable: false, section: 'system', ...more });

const hostAttributes = [
  a('hostname', 'Host name', '主机名', 'text', { required: true, indexed: true, section: 'identity' }),
  a('status', 'Status', '状态', 'enum', { options: ['online', 'offline', 'unknown'], indexed: true, section: 'identity' }),
  a('env', 'Environment', '环境', 'text', { indexed: true, editable: true, section: 'identity' }),
  a('owner', 'Owner', '负责人', 'text', { indexed: true, editable: true, section: 'identity' }),
  a('description', 'Description', '描述', 'long_text', { editable: true, section: 'identity' }),
  a('tags', 'Tags', '标签', 'list', { editable: true, section: 'identity' }),
  a('node_id', 'Node', '节点', 'text', { section: 'identity' }),
  a('machine_id', 'Machine id', '机器标识', 'text', { section: 'identity' }),
  a('os_name', 'Operating system', '操作系统'),
  a('os_version', 'Version', '版本'),
  a('kernel', 'Kernel', '内核'),
  a('arch', 'Architecture', '架构'),
  a('virtualisation', 'Virtualisation', '虚拟化'),
  a('boot_time', 'Started', '启动时间', 'timestamp'),
  a('cpu_model', 'CPU', '处理器', 'text', { section: 'hardware' }),
  a('cpu_count', 'CPUs', 'CPU 数', 'integer', { section: 'hardware', indexed: true }),
  a('memory_bytes', 'Memory', '内存', 'integer', { section: 'hardware', unit: 'bytes' }),
  a('disks', 'Disks', '磁盘', 'table', { section: 'storage', columns: [a('name', 'Name', '名称'), a('size_bytes', 'Size', '容量', 'integer', { unit: 'bytes' }), a('type', 'Type', '类型'), a('model', 'Model', '型号')] }),
  a('mounts', 'Mounts', '挂载', 'table', {
    section: 'storage',
    columns: [a('mount_point', 'Mounted at', '挂载点'), a('device', 'Device', '设备'), a('fs_type', 'File system', '文件系统'), a('size_bytes', 'Size', '容量', 'integer', { unit: 'bytes' }), a('used_bytes', 'Used', '已用', 'integer', { unit: 'bytes' })],
  }),
  a('interfaces', 'Interfaces', '网卡', 'table', { section: 'network', columns: [a('name', 'Name', '名称'), a('mac', 'MAC', 'MAC'), a('addresses', 'Addresses', '地址'), a('up', 'Up', '启用', 'boolean'), a('speed_mbps', 'Speed', '速率', 'integer', { unit: 'Mbit/s' })] }),
  a('addresses', 'Addresses', '地址', 'list', { section: 'network' }),
];
const serviceAttributes = [
  a('name', 'Name', '名称', 'text', { required: true, indexed: true, section: 'service' }),
  a('status', 'Status', '状态', 'enum', { options: ['running', 'stopped'], indexed: true, section: 'service' }),
  a('version', 'Version', '版本', 'text', { section: 'service' }),
  a('port', 'Port', '端口', 'integer', { section: 'service' }),
  a('data_dir', 'Data directory', '数据目录', 'text', { section: 'service' }),
  a('node_id', 'Node', '节点', 'text', { section: 'service' }),
  a('owner', 'Owner', '负责人', 'text', { editable: true, section: 'service' }),
];

const model = (name: string, en: string, zh: string, group: string, icon: string, display: string, attributes: Attribute[], builtin = true) => ({ name, title: text(en, zh), group, icon, display, attributes, unique: [], version: 1, builtin, count: 0 });

export const models = [
  model('host', 'Host', '主机', 'resources', 'desktop', 'hostname', hostAttributes),
  model('postgresql', 'PostgreSQL', 'PostgreSQL', 'services', 'database', 'name', serviceAttributes),
  model('mysql', 'MySQL/MariaDB', 'MySQL/MariaDB', 'services', 'database', 'name', serviceAttributes),
  model('redis', 'Redis', 'Redis', 'services', 'database', 'name', serviceAttributes),
  model('nginx', 'nginx', 'nginx', 'services', 'gateway', 'name', serviceAttributes),
  model('business_application', 'Business application', '业务应用', 'business', 'appstore', 'name', [a('name', 'Name', '名称', 'text', { required: true, editable: true, section: 'identity' }), a('tier', 'Tier', '等级', 'enum', { options: ['gold', 'silver', 'bronze'], editable: true, section: 'identity' })]),
  model('network', 'Network', '网络', 'resources', 'network', 'cidr', [
    a('cidr', 'Network', '网段', 'cidr', { required: true, editable: true, section: 'identity' }),
    a('gateway', 'Gateway', '网关', 'ip', { editable: true, section: 'identity' }),
    a('mac', 'MAC', 'MAC 地址', 'mac', { editable: true, section: 'identity' }),
    a('vlan', 'VLAN', 'VLAN', 'integer', { editable: true, section: 'identity', min: 1, max: 4094, default: 1 }),
    a('code', 'Code', '编号', 'text', { editable: true, section: 'identity', pattern: '^[A-Z]{3}-[0-9]+$', max: 12 }),
    a('since', 'Since', '启用日期', 'date', { editable: true, section: 'identity' }),
    a('wiki', 'Wiki', '文档', 'url', { editable: true, section: 'identity', default: 'https://wiki.example.com/' }),
    a('zones', 'Zones', '区域', 'multi_enum', { editable: true, section: 'identity', options: ['dmz', 'core', 'edge'], default: ['core'] }),
  ], false),
  model('team', 'Team', '团队', 'organisation', 'team', 'name', [a('name', 'Name', '名称', 'text', { required: true, editable: true, section: 'identity' })]),
];

export interface Instance {
  id: string;
  model: string;
  label: string;
  version: number;
  attributes: Record<string, unknown>;
  created_at: string;
  updated_at: string;
}

const names = ['db-primary-01', 'db-replica-01', 'db-replica-02', 'web-01', 'web-02', 'web-03', 'cache-01', 'queue-01', 'build-runner-with-a-rather-long-host-name-that-needs-cutting.internal.example.net', 'edge-fra-01', 'edge-sin-01', 'batch-01'];
export const hosts: Instance[] = Array.from({ length: 64 }, (_, i) => {
  const hostname = names[i] ?? `worker-${String(i).padStart(3, '0')}`;
  const offline = i === 4 || i === 17;
  return {
    id: `h-${i}`,
    model: 'host',
    label: hostname,
    version: 3 + (i % 4),
    created_at: ago(60 * 24 * 9),
    updated_at: ago(3 + i * 7),
    attributes: {
      hostname,
      status: offline ? 'offline' : 'online',
      env: ['prod', 'prod', 'staging', 'dev'][i % 4],
      owner: i % 3 ? 'platform' : null,
      tags: i % 5 ? ['linux'] : ['linux', 'critical'],
      node_id: `n-${i}`,
      machine_id: `5f1c7a9e${i.toString(16).padStart(24, '0')}`,
      os_name: i % 6 ? 'Debian GNU/Linux' : 'Ubuntu',
      os_version: i % 6 ? '12 (bookworm)' : '24.04',
      kernel: '6.1.0-28-amd64',
      arch: i % 9 ? 'x86_64' : 'aarch64',
      virtualisation: i % 2 ? 'kvm' : 'none',
      boot_time: ago(60 * 24 * (3 + i)),
      cpu_model: 'AMD EPYC 7543P 32-Core Processor',
      cpu_count: [4, 8, 16, 32][i % 4],
      memory_bytes: [8, 16, 64, 128][i % 4]! * GiB,
      disks: [
        { name: 'nvme0n1', size_bytes: 960 * GiB, type: 'ssd', model: 'SAMSUNG MZQL2960HCJR-00A07' },
        { name: 'sda', size_bytes: 8000 * GiB, type: 'hdd', model: 'ST8000NM017B' },
      ],
      mounts: [
        { mount_point: '/', device: '/dev/nvme0n1p2', fs_type: 'ext4', size_bytes: 120 * GiB, used_bytes: 47 * GiB },
        { mount_point: '/var/lib/postgresql', device: '/dev/mapper/data-pg', fs_type: 'xfs', size_bytes: 800 * GiB, used_bytes: 731 * GiB },
        { mount_point: '/boot', device: '/dev/nvme0n1p1', fs_type: 'vfat', size_bytes: 1 * GiB, used_bytes: 0.97 * GiB },
      ],
      interfaces: [
        { name: 'eno1', mac: '3c:ec:ef:12:34:56', addresses: [`10.0.${i}.5`, 'fe80::3eec:efff:fe12:3456'], up: true, speed_mbps: 10000 },
        { name: 'lo', mac: '', addresses: ['127.0.0.1', '::1'], up: true, speed_mbps: null },
      ],
      addresses: [`10.0.${i}.5`],
    },
  };
});
export const services: Instance[] = ['postgresql', 'mysql', 'redis', 'nginx'].map((m, i) => ({
  id: `s-${i}`,
  model: m,
  label: `${m} on ${hosts[i]?.label}`,
  version: 1,
  created_at: ago(900),
  updated_at: ago(30),
  attributes: { name: `${m} on ${hosts[i]?.label}`, status: i === 1 ? 'stopped' : 'running', version: ['15.13', '10.11.11-MariaDB', '7.0.15', '1.22.1'][i], port: [5432, 3306, 6379, 80][i], data_dir: `/var/lib/${m}`, node_id: `n-${i}` },
}));

export const nodes = hosts.slice(0, 20).map((h, i) => ({
  id: `n-${i}`,
  name: h.label,
  state: h.attributes.status === 'offline' ? 'offline' : i === 12 ? 'revoked' : 'online',
  state_since: ago(200 + i),
  host_instance_id: h.id,
  address: `10.0.${i}.5`,
  agent_version: '0.1.0',
  enrolled_at: ago(60 * 24 * 9),
  last_seen_at: ago(h.attributes.status === 'offline' ? 95 : 0.2),
  running: i === 0 ? 1 : 0,
  load_1m: 0.4 + i / 10,
}));

const summary = (o: Record<string, number>) => ({ total: 0, pending: 0, waiting: 0, running: 0, succeeded: 0, failed: 0, timed_out: 0, cancelled: 0, lost: 0, rejected: 0, ...o });
export const executions = Array.from({ length: 23 }, (_, i) => {
  const status = ['running', 'succeeded', 'partial', 'failed', 'succeeded', 'cancelled'][i % 6]!;
  const live = status === 'running';
  return {
    id: `e-${i}`,
    name: ['Kernel versions', 'Inspection: Linux baseline, batch 1 of 3', 'Rotate nginx logs', 'Restart the mail queue on all edges because of the certificate change', 'Free space'][i % 5],
    status,
    script: { language: 'bash', content: '#!/usr/bin/env bash\nset -euo pipefail\n\nuname -a\ndf -Ph | sort -k5 -r | head\n' },
    args: i % 2 ? [] : ['--all', 'two words'],
    env: i % 3 ? [] : ['API_TOKEN'],
    user: i % 4 ? null : 'postgres',
    cwd: null,
    timeout_s: 300,
    wait_s: 300,
    concurrency: i % 2 ? 0 : 10,
    output_limit: 4194304,
    strategy: { batches: i % 3 ? '' : '1 *2', pause_s: i % 3 ? 0 : 60, tolerate: i % 3 ? null : '10%', total_timeout_s: null },
    progress: { batch: i % 3 ? 1 : 2, batches: i % 3 ? 1 : 3, since: ago(2 + i * 41), resume_at: null, wait_until: ago(i * 41 - 3), deadline: null, stopped_at: status === 'partial' ? ago(1.8 + i * 41) : null, stop_code: status === 'partial' ? 'jobs.stopped' : null, stop_reason: status === 'partial' ? '3 targets failed, and 2 are tolerated' : null },
    retry_of: null,
    created_by: i % 2 ? 'admin' : 'plugin inspection-center for admin',
    plugin: i % 2 ? null : 'inspection-center',
    created_at: ago(2 + i * 41),
    started_at: ago(2 + i * 41),
    finished_at: live ? null : ago(1.6 + i * 41),
    duration_ms: live ? null : 24_310,
    origin: i % 2 ? null : `workflow-run/r-${i % 9}`,
    cancelled_by: status === 'cancelled' ? 'admin' : null,
    summary: summary(
      live ? { total: 6, running: 2, succeeded: 2, pending: 1, waiting: 1 } : status === 'partial' ? { total: 6, succeeded: 3, failed: 1, timed_out: 1, lost: 1 } : status === 'failed' ? { total: 2, failed: 2 } : status === 'cancelled' ? { total: 4, succeeded: 1, cancelled: 3 } : { total: 12, succeeded: 12 },
    ),
  };
});

export function results(e: (typeof executions)[number]) {
  const states = Object.entries(e.summary).flatMap(([k, n]) => (k === 'total' ? [] : Array.from({ length: n }, () => k)));
  return states.map((status, i) => ({
    node_id: `n-${i}`,
    node_name: nodes[i]?.name,
    instances: [{ model: 'host', id: `h-${i}` }],
    status,
    waiting_for: status === 'waiting' ? 'its agent, which is offline since 12 minutes' : status === 'pending' ? 'its turn: 10 at once' : null,
    waiting_since: status === 'waiting' ? ago(2) : null,
    waiting_until: status === 'waiting' ? ago(-3) : null,
    batch: 1,
    fault: status === 'timed_out' ? 'timeout' : status === 'lost' ? 'unknown' : status === 'failed' ? 'script' : status === 'cancelled' ? 'person' : null,
    output_hash: ['succeeded', 'failed'].includes(status) ? `${status}-hash` : null,
    exit_code: status === 'succeeded' ? 0 : status === 'failed' ? 127 : null,
    signal: status === 'timed_out' ? 9 : null,
    code: status === 'timed_out' ? 'job.timed_out' : status === 'lost' ? 'job.lost' : null,
    message: status === 'timed_out' ? 'It ran longer than 300 s and was killed with all its processes.' : status === 'lost' ? 'The agent started anew and knows nothing of it.' : null,
    started_at: status === 'pending' || status === 'waiting' ? null : e.started_at,
    finished_at: ['running', 'pending', 'waiting'].includes(status) ? null : e.finished_at ?? ago(1),
    duration_ms: ['running', 'pending', 'waiting'].includes(status) ? null : 1200 + i * 311,
    stdout_bytes: 2048,
    stderr_bytes: status === 'failed' ? 64 : 0,
    truncated_bytes: i === 3 ? 5_000_000 : 0,
    env: [],
  }));
}

const task = (id: number, parent: number | null, name: string, kind: string, status: string, from: number, to: number | null, more: Record<string, unknown> = {}) => ({
  id,
  parent,
  pointer: `/do/${id}/${name}`,
  path: `/do/${id}/${name}`,
  name,
  kind,
  action: null,
  status,
  attempt: 1,
  input: { report: 'rp-17' },
  output: status === 'succeeded' ? { ok: true } : null,
  error: null,
  started_at: ago(from),
  finished_at: to === null ? null : ago(to),
  duration_ms: to === null ? null : (from - to) * 60_000,
  waiting: null,
  acts: to === null ? ['pause', 'retry', 'skip', 'fail'] : ['restart'],
  ...more,
});
export const runs = Array.from({ length: 9 }, (_, i) => {
  const status = ['waiting', 'succeeded', 'failed', 'succeeded', 'cancelled'][i % 5]!;
  const live = status === 'waiting';
  const t0 = 3 + i * 200;
  return {
    id: `r-${i}`,
    workflow: i % 3 ? 'inspection-center.inspect' : 'nightly-free-space',
    version: 2,
    status,
    started_by: 'plugin inspection-center for admin',
    origin: i % 2 ? 'user' : 'schedule/sc-1',
    key: null,
    started_at: ago(t0),
    finished_at: live ? null : ago(t0 - 2),
    duration_ms: 120_000,
    input: { inspection: 'in-1', report: 'rp-17' },
    output: live ? null : { score: 91 },
    error: status === 'failed' ? { type: 'https://serverlessworkflow.io/spec/1.0.0/errors/runtime', status: 502, title: 'The job failed', detail: '3 of 20 targets did not answer in time.', instance: '/do/1/batches/for/do/1/ask' } : null,
    waiting: live ? { reason: 'job e-0 runs on 2 of 6 targets', since: ago(2), until: null, paused: false, permission: 'workflow.run' } : null,
    task_count: 8,
    acts: live ? ['pause', 'cancel'] : [],
    tasks: [
      task(1, null, 'plan', 'call', 'succeeded', t0, t0 - 0.3, { action: 'inspection-center.plan', output: { batches: 2, targets: 120 } }),
      task(2, null, 'batches', 'for', live ? 'running' : 'succeeded', t0 - 0.3, live ? null : t0 - 1.8),
      task(3, 2, 'prepare', 'call', 'succeeded', t0 - 0.35, t0 - 0.4, { action: 'inspection-center.batch', path: '/do/1/batches/each[0]/do/0/prepare' }),
      task(4, 2, 'ask', 'try', 'succeeded', t0 - 0.4, t0 - 0.9, { path: '/do/1/batches/each[0]/do/1/ask' }),
      task(5, 4, 'job', 'call', 'succeeded', t0 - 0.4, t0 - 0.9, { action: 'job.run', output: { execution: 'e-1', status: 'succeeded' }, attempt: 2 }),
      task(6, 2, 'prepare', 'call', 'succeeded', t0 - 0.95, t0 - 1, { action: 'inspection-center.batch', path: '/do/1/batches/each[1]/do/0/prepare' }),
      task(7, 2, 'ask', 'try', live ? 'running' : status === 'failed' ? 'failed' : 'succeeded', t0 - 1, live ? null : t0 - 1.7, { path: '/do/1/batches/each[1]/do/1/ask' }),
      task(8, 7, 'job', 'call', live ? 'waiting' : status === 'failed' ? 'failed' : 'succeeded', t0 - 1, live ? null : t0 - 1.7, {
        action: 'job.run',
        waiting: live ? { reason: 'job e-0 runs on 2 of 6 targets', since: ago(2), until: null, paused: false, permission: 'workflow.run' } : null,
        error: status === 'failed' ? { title: 'The job failed', type: 'https://serverlessworkflow.io/spec/1.0.0/errors/runtime', status: 502, detail: '3 of 20 targets did not answer in time.' } : null,
      }),
    ],
  };
});

export const workflows = [
  {
    name: 'inspection-center.inspect',
    title: 'Inspection',
    summary: 'Plans an inspection, asks its targets batch by batch, grades what they answer, closes the report.',
    owner: 'inspection-center',
    version: 2,
    source: 'document:\n  dsl: 1.0.0\n  namespace: inspection-center\n  name: inspect\n  version: 0.1.0\ndo:\n  - plan:\n      call: inspection-center.plan\n',
    input_schema: { type: 'object', required: ['inspection'], properties: { inspection: { type: 'string' }, report: { type: 'string' } } },
  },
  {
    name: 'nightly-free-space',
    title: 'Free space on every host',
    summary: null,
    owner: null,
    version: 1,
    source: 'document:\n  dsl: 1.0.0\n  namespace: default\n  name: nightly-free-space\n  version: 0.1.0\ndo:\n  - ask:\n      call: job.run\n      with:\n        name: Free space\n        script: { language: sh, content: "df -Ph" }\n',
    input_schema: {
      type: 'object',
      required: ['filter'],
      properties: {
        filter: { type: 'string', title: 'Which hosts', description: 'A CEL filter', default: 'status == "online"' },
        threshold: { type: 'integer', title: 'Threshold', minimum: 1, maximum: 100, default: 90 },
        level: { type: 'string', enum: ['notice', 'warning'], default: 'warning' },
        mail: { type: 'array', items: { type: 'string' }, title: 'Mail to' },
        dry: { type: 'boolean', title: 'Dry run' },
      },
    },
  },
].map((w) => ({ ...w, created_at: ago(9000), updated_at: ago(3000), updated_by: 'admin' }));

export const schedules = [
  { id: 'sc-1', name: 'Nightly inspection', cron: '30 2 * * *', timezone: 'Europe/Berlin', target: { kind: 'workflow', name: 'inspection-center.inspect' }, input: { inspection: 'in-1' }, enabled: true, owner_plugin: 'inspection-center', created_by: 'plugin inspection-center', created_at: ago(9000), next_at: ago(-500), last_at: ago(900), last_run: 'r-1', last_error: null },
  { id: 'sc-2', name: 'Free space', cron: '*/15 * * * *', timezone: 'UTC', target: { kind: 'workflow', name: 'nightly-free-space' }, input: {}, enabled: false, owner_plugin: null, created_by: 'admin', created_at: ago(9000), next_at: null, last_at: ago(90), last_run: null, last_error: 'The workflow refused its input: /filter is required.' },
];

const permissions = [
  { name: 'cmdb.read', scope: { models: ['host', 'postgresql', 'redis', 'mysql', 'nginx'] }, reason: text("Finds the machines and services that an inspection's filter matches, and shows them before it runs.", '查找并预览巡检条件匹配的主机与服务。') },
  { name: 'jobs.run', scope: {}, reason: text("Runs the checks' commands on those machines. They read only; you can see each of them in the templates.", '在目标主机上执行检查命令。命令均为只读，可在模板中逐条查看。') },
  { name: 'store', scope: {}, reason: text('Keeps templates, inspections and reports.', '保存模板、巡检与报告。') },
  { name: 'events.read', scope: { types: ['plenum.job.target.finished', 'plenum.workflow.task.changed'] }, reason: text('Shows progress as it happens.', '实时显示进度。') },
];
export const catalog = [
  {
    id: 'inspection-center',
    name: text('Inspection Center', '巡检中心'),
    publisher: 'Plenum',
    version: '0.1.0',
    description: text('Checks Linux machines, PostgreSQL, Redis and MariaDB/MySQL by templates that you can edit; scores them, explains each finding with its evidence, shows what changed, and keeps the history.', '按可编辑的模板巡检 Linux 主机、PostgreSQL、Redis 与 MariaDB/MySQL：评分、给出证据与处理建议、对比变化并保留历史。'),
    icon_url: null,
    signature: { state: 'trusted', key_id: '8A3F1C0E5D7B2941', publisher: 'Plenum' },
    permissions,
    installed: null as string | null,
    problem: null,
    digest: 'sha256:1',
    file: 'inspection-center-0.1.0.plenum',
    size: 1_843_200,
    api: '^0.1',
    license: 'Apache-2.0',
    categories: ['operations'],
  },
  {
    id: 'change-desk',
    name: 'Change Desk',
    publisher: 'Somebody Else',
    version: '2.3.1',
    description: 'Change requests with approvals and windows.',
    icon_url: null,
    signature: { state: 'unknown_publisher', key_id: '00C0FFEE00C0FFEE', publisher: 'Somebody Else' },
    permissions: [{ name: 'http.outgoing', scope: { hosts: ['mail.example.com:587'] }, reason: 'Sends mail.' }],
    installed: null as string | null,
    problem: 'It is signed with a key that this host does not trust; add the key to the configuration, or start the host in developer mode.',
    digest: 'sha256:2',
    file: 'change-desk-2.3.1.plenum',
    size: 420_000,
    api: '^0.1',
    license: null,
    categories: [],
  },
];

export const plugins: Record<string, unknown>[] = [];
export const demoPages = [
  { id: 'main', title: text('Inspection Center', '巡检中心'), kind: 'framed', url: '/plugins/inspection-center/000000000000/web/index.html', icon: null },
  { id: 'board', title: text('Board', '看板'), kind: 'declared', url: '/plugins/inspection-center/000000000000/pages/board.json', icon: null },
];
