import { createRootRoute, createRoute, createRouter, lazyRouteComponent, type ErrorComponentProps } from '@tanstack/react-router';
import { Loading } from './components/base';
import { ErrorPage, NotFoundPage } from './features/errors';
import { Root } from './Root';

// The query of a URL is plain strings: short, readable, and the same after a round trip.
type Search = Record<string, string | undefined>;
export function parseSearch(text: string): Search {
  return Object.fromEntries(new URLSearchParams(text));
}
export function stringifySearch(search: Record<string, unknown>): string {
  const out = new URLSearchParams();
  for (const [k, v] of Object.entries(search)) if (v !== undefined && v !== null && v !== '') out.set(k, String(v));
  const s = out.toString();
  return s ? `?${s}` : '';
}

export function makeRouter() {
  const root = createRootRoute({
    component: Root,
    validateSearch: (s: Record<string, unknown>) => s as Search,
    notFoundComponent: NotFoundPage,
  });
  type Loader = () => Promise<{ default: React.ComponentType }>;
  const page = (path: string, load: Loader) => createRoute({ getParentRoute: () => root, path, component: lazyRouteComponent(load) });
  const tree = root.addChildren([
    page('/', () => import('./features/home/Home')),
    page('/search', () => import('./features/cmdb/Search')),
    page('/cmdb', () => import('./features/cmdb/Models')),
    page('/cmdb/$model', () => import('./features/cmdb/Instances')),
    page('/cmdb/$model/$id', () => import('./features/cmdb/Instance')),
    page('/changes', () => import('./features/changes/Changes')),
    page('/changes/rules', () => import('./features/changes/Rules')),
    page('/changes/$id', () => import('./features/changes/Change')),
    page('/health', () => import('./features/quality/Health')),
    page('/sources', () => import('./features/quality/Sources')),
    page('/sources/reviews', () => import('./features/quality/Reviews')),
    page('/sources/precedence', () => import('./features/quality/Precedence')),
    page('/nodes', () => import('./features/nodes/Nodes')),
    page('/nodes/policies', () => import('./features/nodes/Policies')),
    page('/nodes/$id', () => import('./features/nodes/Node')),
    page('/jobs', () => import('./features/jobs/Jobs')),
    page('/jobs/run', () => import('./features/jobs/RunScript')),
    page('/jobs/approvals', () => import('./features/jobs/ToApprove')),
    page('/jobs/rules', () => import('./features/jobs/Rules')),
    page('/jobs/$id', () => import('./features/jobs/Execution')),
    page('/workflows', () => import('./features/workflows/Workflows')),
    page('/workflows/new', () => import('./features/workflows/Definition')),
    page('/workflows/$name', () => import('./features/workflows/Definition')),
    page('/runs', () => import('./features/workflows/Runs')),
    page('/runs/statistics', () => import('./features/workflows/Statistics')),
    page('/runs/$id', () => import('./features/workflows/Run')),
    page('/approvals', () => import('./features/workflows/Approvals')),
    page('/schedules', () => import('./features/workflows/Schedules')),
    page('/catalog', () => import('./features/catalog/Catalog')),
    page('/catalog/$id', () => import('./features/catalog/Entry')),
    page('/apps', () => import('./features/apps/Apps')),
    page('/apps/$id', () => import('./features/apps/AppDetail')),
    page('/apps/$id/$tab', () => import('./features/apps/AppDetail')),
    page('/app/$id', () => import('./features/plugin/PluginPage')),
    page('/app/$id/$page', () => import('./features/plugin/PluginPage')),
    page('/app/$id/$page/$', () => import('./features/plugin/PluginPage')),
    page('/admin/users', () => import('./features/admin/Users')),
    page('/admin/data-roles', () => import('./features/admin/DataRoles')),
    page('/admin/tokens', () => import('./features/admin/Tokens')),
    page('/admin/audit', () => import('./features/admin/Audit')),
    page('/profile', () => import('./features/admin/Profile')),
    page('/association-kinds', () => import('./features/cmdb/Kinds')),
    page('/models/new', () => import('./features/cmdb/ModelEditor')),
    page('/models/$model', () => import('./features/cmdb/ModelEditor')),
  ]);
  return createRouter({
    routeTree: tree,
    parseSearch,
    stringifySearch,
    defaultPreload: 'intent',
    defaultPendingComponent: Loading,
    defaultErrorComponent: (p: ErrorComponentProps) => <ErrorPage error={p.error} reset={p.reset} />,
    defaultNotFoundComponent: NotFoundPage,
  });
}
