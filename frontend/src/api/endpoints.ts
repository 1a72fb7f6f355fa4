/** Every call that the portal makes, by domain. Paths and shapes are named here and nowhere else. */
import { buildUrl, http, Problem, segment } from './client';
import type * as A from './types';

type L = A.ListParams & Record<string, string | number | boolean | undefined>;

export const api = {
  session: {
    /** null when nobody is signed in; a session that ended this moment, or a proxy that asks first, may say it as a refusal. */
    get: async () => {
      try {
        return (await http.get<A.Session | undefined>('/session')) ?? null;
      } catch (e) {
        if (e instanceof Problem && e.status === 401) return null;
        throw e;
      }
    },
    signIn: (b: { name: string; password: string }) => http.post<A.Session>('/session', b),
    signOut: () => http.delete<void>('/session'),
    password: (b: { current: string; new: string }) => http.put<void>('/session/password', b),
  },
  system: { get: () => http.get<A.SystemInfo>('/system'), overview: () => http.get<A.Overview>('/overview') },
  users: {
    list: (q: L = {}) => http.get<A.Page<A.User>>('/users', q),
    create: (b: { name: string; display_name: string; role: A.Role; password: string }) => http.post<A.User>('/users', b),
    update: (id: string, b: Partial<{ display_name: string; role: A.Role; disabled: boolean; password: string }>) =>
      http.patch<A.User>(segment`/users/${id}`, b),
  },
  tokens: {
    list: () => http.get<A.Page<A.Token>>('/tokens'),
    create: (b: { name: string; role: A.Role; expires_in_days?: number }) => http.post<A.Token>('/tokens', b),
    delete: (id: string) => http.delete<void>(segment`/tokens/${id}`),
  },
  dataRoles: {
    list: () => http.get<A.Page<A.DataRole>>('/data-roles'),
    save: ({ version, ...b }: A.DataRole) => (version ? http.put<A.DataRole>(segment`/data-roles/${b.name}`, b, { 'if-match': `"${version}"` }) : http.post<A.DataRole>('/data-roles', b)),
    delete: (name: string) => http.delete<void>(segment`/data-roles/${name}`),
  },
  audit: { list: (q: L) => http.get<A.Page<A.AuditEntry>>('/audit', q) },
  cmdb: {
    models: () => http.get<A.Page<A.Model>>('/cmdb/models'),
    model: (name: string) => http.get<A.Model>(segment`/cmdb/models/${name}`),
    createModel: (b: Partial<A.Model>) => http.post<A.Model>('/cmdb/models', b),
    updateModel: (name: string, b: Partial<A.Model>, version: number) => http.put<A.Model>(segment`/cmdb/models/${name}`, b, { 'if-match': `"${version}"` }),
    deleteModel: (name: string) => http.delete<void>(segment`/cmdb/models/${name}`),
    instances: (model: string, q: L) => http.get<A.Page<A.Instance>>(segment`/cmdb/models/${model}/instances`, q),
    instance: (model: string, id: string) => http.get<A.Instance>(segment`/cmdb/models/${model}/instances/${id}`),
    create: (model: string, attributes: Record<string, A.Json>) =>
      http.post<A.Instance>(segment`/cmdb/models/${model}/instances`, { attributes }),
    update: (model: string, id: string, version: number, attributes: Record<string, A.Json>, why?: string) =>
      http.patch<A.Instance>(segment`/cmdb/models/${model}/instances/${id}`, { version, attributes, ...(why ? { why } : {}) }),
    delete: (model: string, id: string) => http.delete<void>(segment`/cmdb/models/${model}/instances/${id}`),
    history: (model: string, id: string, q: L = {}) =>
      http.get<A.Page<A.Change>>(segment`/cmdb/models/${model}/instances/${id}/history`, q),
    restore: (model: string, id: string, b: { version?: number; why?: string }) => http.post<A.Instance>(segment`/cmdb/models/${model}/instances/${id}/restore`, b),
    graph: (model: string, id: string, q: { walk: A.Walk; depth: number; limit: number }) => http.get<A.Graph>(segment`/cmdb/models/${model}/instances/${id}/graph`, q),
    export: (model: string, q: { format: 'csv' | 'json'; filter?: string; search?: string; sort?: string }) => http.file(segment`/cmdb/models/${model}/export`, q),
    import: (model: string, file: Blob, q: A.ImportQuery) => http.sendFile<A.BulkAnswer>(segment`/cmdb/models/${model}/import`, file, { ...q, key: q.key.join(',') }),
    bulk: (model: string, b: A.BulkRequest) => http.post<A.BulkAnswer>(segment`/cmdb/models/${model}/bulk`, b),
    related: (model: string, id: string) => http.get<A.Page<A.Related>>(segment`/cmdb/models/${model}/instances/${id}/related`),
    associate: (b: { kind: string; from: { model: string; id: string }; to: { model: string; id: string }; attributes?: Record<string, A.Json> }) =>
      http.post<unknown>('/cmdb/associations', b),
    dissociate: (id: string) => http.delete<void>(segment`/cmdb/associations/${id}`),
    kinds: () => http.get<A.Page<A.AssociationKind>>('/cmdb/association-kinds'),
    saveKind: ({ version, builtin: _builtin, single: _single, ...b }: A.AssociationKind) =>
      version ? http.put<A.AssociationKind>(segment`/cmdb/association-kinds/${b.name}`, b, { 'if-match': `"${version}"` }) : http.post<A.AssociationKind>('/cmdb/association-kinds', b),
    deleteKind: (name: string) => http.delete<void>(segment`/cmdb/association-kinds/${name}`),
    checkFilter: (model: string, filter: string) => http.post<A.FilterCheck>('/cmdb/filter/check', { model, filter }),
    search: (q: string, more: { model?: string; cursor?: string; limit?: number } = {}, signal?: AbortSignal) => http.get<A.SearchAnswer>('/cmdb/search', { q, ...more }, signal),
    facets: (model: string, q: { fields: string; filter?: string; search?: string; top?: number }) => http.get<A.Facets>(segment`/cmdb/models/${model}/facets`, q),
    explain: (model: string, filter: string) => http.get<A.QueryPlan>(segment`/cmdb/models/${model}/explain`, { filter }),
    filters: (model: string) => http.get<A.Page<A.KeptFilter>>(segment`/cmdb/models/${model}/filters`),
    keepFilter: (model: string, b: { name: string; filter: string; shared: boolean }) => http.post<A.KeptFilter>(segment`/cmdb/models/${model}/filters`, b),
    forgetFilter: (id: string) => http.delete<void>(segment`/cmdb/filters/${id}`),
    groups: (model?: string) => http.get<A.Page<A.RecordGroup>>('/cmdb/groups', { model }),
    putGroup: (name: string, b: { model: string; filter: string; version?: number }) => http.put<A.RecordGroup>(segment`/cmdb/groups/${name}`, b),
    deleteGroup: (name: string) => http.delete<void>(segment`/cmdb/groups/${name}`),
  },
  nodes: {
    list: (q: L = {}) => http.get<A.Page<A.Node>>('/nodes', q),
    get: (id: string) => http.get<A.Node>(segment`/nodes/${id}`),
    rename: (id: string, name: string) => http.patch<A.Node>(segment`/nodes/${id}`, { name }),
    revoke: (id: string) => http.delete<void>(segment`/nodes/${id}`),
    collect: (id: string) => http.post<void>(segment`/nodes/${id}/collect`),
    enrol: (b: { ttl_s?: number } = {}) => http.post<A.NewEnrolmentToken>('/nodes/enrolment-tokens', b),
    enrolments: () => http.get<A.Page<A.EnrolmentToken>>('/nodes/enrolment-tokens'),
  },
  jobs: {
    list: (q: L) => http.get<A.Page<A.Execution>>('/jobs/executions', q),
    get: (id: string) => http.get<A.Execution>(segment`/jobs/executions/${id}`),
    run: (b: A.RunRequest) => http.post<A.Execution>('/jobs/executions', b),
    results: (id: string, q: L = {}) => http.get<A.Page<A.TargetResult>>(segment`/jobs/executions/${id}/results`, q),
    output: (id: string, node: string, stream: 'stdout' | 'stderr', offset: number) =>
      http.get<A.OutputPiece>(
        segment`/jobs/executions/${id}/results/${node}/output`,
        { stream, offset, limit: 262_144 },
      ),
    cancel: (id: string, force = false) => http.post<A.Execution>(`${segment`/jobs/executions/${id}/cancel`}${force ? '?force=true' : ''}`),
    retry: (id: string, b: A.RetryRequest) => http.post<A.Execution>(segment`/jobs/executions/${id}/retry`, b),
    groups: (id: string) => http.get<{ items: A.ResultGroup[]; others: number }>(segment`/jobs/executions/${id}/groups`),
    search: (id: string, search: string, cursor?: string) => http.get<A.OutputMatches>(segment`/jobs/executions/${id}/search`, { search, cursor }),
    chain: (id: string) => http.get<{ items: A.Execution[] }>(segment`/jobs/executions/${id}/chain`),
    preview: (targets: A.Targets) => http.post<A.TargetPreview>('/jobs/targets/preview', { targets }),
  },
  workflows: {
    list: (q: L = {}) => http.get<A.Page<A.WorkflowDefinition>>('/workflows', q),
    get: (name: string) => http.get<A.WorkflowDefinition>(segment`/workflows/${name}`),
    create: (b: { name: string; source: string }) => http.post<A.WorkflowDefinition>('/workflows', b),
    update: (name: string, b: { source: string }) => http.put<A.WorkflowDefinition>(segment`/workflows/${name}`, b),
    delete: (name: string) => http.delete<void>(segment`/workflows/${name}`),
    validate: (source: string) => http.post<A.ValidationResult>('/workflows/validate', { source }),
    start: (name: string, input: A.Json, key: string) => http.post<A.Run>(segment`/workflows/${name}/runs`, { input, key }),
    actions: () => http.get<A.Page<A.ActionInfo>>('/actions'),
    versions: (name: string, q: L = {}) => http.get<A.Page<A.WorkflowVersion>>(segment`/workflows/${name}/versions`, q),
    version: (name: string, version: number) => http.get<A.WorkflowVersion & { source: string }>(segment`/workflows/${name}/versions/${version}`),
  },
  approvals: {
    list: (q: L) => http.get<A.Page<A.Approval>>('/approvals', q),
    decide: (id: string, b: { decision: 'approve' | 'reject'; comment?: string; data?: A.Json }) => http.post<A.Approval>(segment`/approvals/${id}/decide`, b),
    delegate: (id: string, b: { to: string; reason: string }) => http.post<A.Approval>(segment`/approvals/${id}/delegate`, b),
  },
  runs: {
    list: (q: L) => http.get<A.Page<A.Run>>('/runs', q),
    statistics: (q: { workflow?: string; from?: string; to?: string }) => http.get<A.RunStatistics>('/runs/statistics', q),
    rehearse: (b: { source: string; input: A.Json; answers: Record<string, A.RehearsedAnswer> }) => http.post<A.Rehearsal>('/runs/rehearsal', b),
    get: (id: string) => http.get<A.Run>(segment`/runs/${id}`),
    act: (id: string, act: A.Act, b: { reason: string }) => http.post<A.Run>(segment`/runs/${id}/${act}`, b),
    taskAct: (id: string, task: number, act: A.Act, b: { reason: string; input?: A.Json; output?: A.Json }) => http.post<A.Run>(segment`/runs/${id}/tasks/${String(task)}/${act}`, b),
    tasks: (id: string, after: number) => http.get<A.Page<A.Task>>(segment`/runs/${id}/tasks`, { after, limit: 1000 }),
  },
  schedules: {
    list: (q: L = {}) => http.get<A.Page<A.Schedule>>('/schedules', q),
    create: (b: Pick<A.Schedule, 'name' | 'cron' | 'timezone' | 'target' | 'input' | 'enabled'>) => http.post<A.Schedule>('/schedules', b),
    update: (id: string, b: Partial<Pick<A.Schedule, 'name' | 'cron' | 'timezone' | 'input' | 'enabled'>>) => http.patch<A.Schedule>(segment`/schedules/${id}`, b),
    delete: (id: string) => http.delete<void>(segment`/schedules/${id}`),
    preview: (cron: string, timezone: string) => http.post<{ times: string[] }>('/schedules/preview', { cron, timezone }),
  },
  catalog: {
    list: (q: { search?: string; category?: string; state?: string } = {}) => http.get<A.Page<A.CatalogEntry>>('/catalog', q),
    get: (id: string, version?: string) => http.get<A.CatalogEntry>(segment`/catalog/${id}`, { version }),
    categories: () => http.get<A.Page<{ name: string; plugins: number }>>('/catalog-categories'),
    sources: () => http.get<A.Page<A.CatalogSource>>('/catalogs'),
    refresh: () => http.post<A.Page<A.CatalogSource>>('/catalogs/refresh'),
  },
  notifications: {
    list: (q: L = {}) => http.get<{ items: A.Notification[]; next_cursor: string | null; unread: number }>('/notifications', q),
    read: (id: string) => http.post<void>(segment`/notifications/${id}/read`),
    readAll: () => http.post<void>('/notifications/read'),
  },
  plugins: {
    list: () => http.get<A.Page<A.Plugin>>('/plugins'),
    get: (id: string) => http.get<A.Plugin>(segment`/plugins/${id}`),
    install: (b: { id: string; version?: string; permissions: string[] }) => http.post<A.Plugin>('/plugins', b),
    uninstall: (id: string, deleteData: boolean) => http.delete<void>(segment`/plugins/${id}`, { delete_data: deleteData }),
    enable: (id: string) => http.post<A.Plugin>(segment`/plugins/${id}/enable`),
    disable: (id: string) => http.post<A.Plugin>(segment`/plugins/${id}/disable`),
    settings: (id: string) => http.get<{ settings: A.Setting[]; values: Record<string, A.Json> }>(segment`/plugins/${id}/settings`),
    putSettings: (id: string, values: Record<string, A.Json>) => http.put<unknown>(segment`/plugins/${id}/settings`, values),
    logs: (id: string, q: L = {}) => http.get<A.Page<A.PluginLog>>(segment`/plugins/${id}/logs`, q),
    metrics: (id: string) => http.get<A.PluginMetrics>(segment`/plugins/${id}/metrics`),
    traces: (id: string) => http.get<A.Page<A.PluginTrace>>(segment`/plugins/${id}/traces`),
    figures: (id: string) => http.get<A.Page<A.PluginFigure>>(segment`/plugins/${id}/figures`),
    traps: (id: string) => http.get<A.Page<A.PluginTrap>>(segment`/plugins/${id}/traps`),
    permissions: (id: string) => http.get<A.Page<A.PermissionUse>>(segment`/plugins/${id}/permissions`),
    setPermissions: (id: string, permissions: string[]) => http.put<A.Plugin>(segment`/plugins/${id}/permissions`, { permissions }),
    versions: (id: string) => http.get<{ items: A.PluginVersion[]; previous: string | null }>(segment`/plugins/${id}/versions`),
    upgradePlan: (id: string, version?: string) => http.get<A.UpgradePlan>(segment`/plugins/${id}/upgrade`, { version }),
    upgrade: (id: string, b: { version?: string; permissions?: string[] }) => http.post<A.Plugin>(segment`/plugins/${id}/upgrade`, b),
    rollback: (id: string, data: 'keep' | 'restore') => http.post<A.Plugin>(segment`/plugins/${id}/rollback`, { data }),
    release: (id: string) => http.post<A.Plugin>(segment`/plugins/${id}/release`),
    /** Where a browser fetches all that it stored. */
    dataUrl: (id: string, settings: boolean) => buildUrl(segment`/plugins/${id}/data`, settings ? { settings } : {}),
    importData: (id: string, file: File, q: { dry_run: boolean; settings: boolean }) => http.sendFile<A.DataImport>(segment`/plugins/${id}/data`, file.slice(0, file.size, 'application/x-ndjson'), q),
    action: (id: string, name: string, input: A.Json) => http.post<A.Json>(segment`/plugins/${id}/actions/${name}`, input),
  },
};
