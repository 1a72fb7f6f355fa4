import { Boxes, Database, DatabaseZap, GitPullRequestArrow, HeartPulse, History, KeyRound, LayoutGrid, Network, Server, ShieldCheck, SquareTerminal, Store, Users, Workflow, type LucideIcon } from 'lucide-react';
import type { Plugin, PluginPage } from '../api/types';
import type { Key } from '../i18n';

export interface NavEntry {
  to: string;
  title: Key;
  icon: LucideIcon;
  needs?: string;
  /** Other path prefixes that belong to this entry. */
  also?: string[];
  exact?: boolean;
}

export interface NavGroup {
  title: Key | null;
  items: NavEntry[];
}

export const groups: NavGroup[] = [
  { title: null, items: [{ to: '/', title: 'nav.home', icon: LayoutGrid, exact: true }] },
  {
    title: 'nav.inventory',
    items: [
      { to: '/cmdb', title: 'nav.cmdb', icon: Database, needs: 'cmdb.read', also: ['/models'] },
      { to: '/changes', title: 'changes.title', icon: GitPullRequestArrow, needs: 'cmdb.read' },
      { to: '/health', title: 'health.title', icon: HeartPulse, needs: 'cmdb.read' },
      { to: '/sources', title: 'sources.title', icon: DatabaseZap, needs: 'cmdb.read' },
      { to: '/nodes', title: 'nav.nodes', icon: Server, needs: 'nodes.read' },
    ],
  },
  {
    title: 'nav.operate',
    items: [
      { to: '/jobs', title: 'nav.jobs', icon: SquareTerminal, needs: 'jobs.read' },
      { to: '/workflows', title: 'nav.workflows', icon: Workflow, needs: 'workflow.read', also: ['/runs', '/schedules', '/approvals'] },
    ],
  },
];

export const appEntries: NavEntry[] = [
  { to: '/catalog', title: 'nav.catalog', icon: Store, needs: 'plugins.read' },
  { to: '/apps', title: 'nav.apps', icon: Boxes, needs: 'plugins.read' },
];

export const adminEntries: NavEntry[] = [
  { to: '/admin/users', title: 'nav.users', icon: Users, needs: 'users.manage' },
  { to: '/admin/data-roles', title: 'nav.dataRoles', icon: ShieldCheck, needs: 'users.manage' },
  { to: '/admin/tokens', title: 'nav.tokens', icon: KeyRound },
  { to: '/admin/audit', title: 'nav.audit', icon: History, needs: 'audit.read' },
];

export const pluginIcon = Network;

export interface PluginEntry {
  to: string;
  plugin: Plugin;
  page: PluginPage;
}

/** Pages of the plugins that run, as entries of the navigation. */
export function pluginEntries(plugins: Plugin[]): PluginEntry[] {
  return plugins
    .filter((p) => p.status === 'active' || p.status === 'compiling')
    .flatMap((plugin) => plugin.pages.map((page) => ({ plugin, page, to: `/app/${encodeURIComponent(plugin.id)}/${encodeURIComponent(page.id)}` })));
}

export function isCurrent(entry: NavEntry, path: string): boolean {
  if (entry.exact) return path === entry.to;
  return [entry.to, ...(entry.also ?? [])].some((p) => path === p || path.startsWith(`${p}/`));
}
