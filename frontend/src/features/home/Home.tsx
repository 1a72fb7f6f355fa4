import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { api } from '../../api/endpoints';
import type { Execution, Run } from '../../api/types';
import { Clip, Elapsed, Loading, PageHead, Panel, ProblemNote, Status, Time } from '../../components/base';
import { useI18n, type Key } from '../../i18n';
import { pluginEntries } from '../../layout/nav';
import { usePlugins } from '../../layout/usePlugins';
import { useCan, useSession } from '../../session';
import { AppIcon } from '../catalog/AppIcon';
import { SummaryBar } from '../jobs/SummaryBar';

const NODES = 8;

export default function Home() {
  const { t } = useI18n();
  const can = useCan();
  const session = useSession();
  const overview = useQuery({ queryKey: ['home', 'overview'], queryFn: api.system.overview });
  // Those that need somebody come first.
  const offline = useQuery({ queryKey: ['nodes', 'home', 'offline'], queryFn: () => api.nodes.list({ state: 'offline', limit: NODES }), enabled: can('nodes.read') });
  const online = useQuery({ queryKey: ['nodes', 'home', 'online'], queryFn: () => api.nodes.list({ state: 'online', limit: NODES }), enabled: can('nodes.read') });
  const jobs = useQuery({ queryKey: ['jobs', 'home'], queryFn: () => api.jobs.list({ limit: 8, sort: '-created_at' }), enabled: can('jobs.read') });
  const runs = useQuery({ queryKey: ['runs', 'home'], queryFn: () => api.runs.list({ limit: 8, sort: '-started_at' }), enabled: can('workflow.read') });
  const plugins = usePlugins();
  const nodes = [...(offline.data?.items ?? []), ...(online.data?.items ?? [])].slice(0, NODES);
  const apps = plugins.data?.items ?? [];
  const o = overview.data;
  const machines = (o?.nodes?.online ?? 0) + (o?.nodes?.offline ?? 0);
  const running = (o?.executions?.running ?? 0) + (o?.runs?.running ?? 0) + (o?.runs?.waiting ?? 0);
  const ready = o && plugins.data && jobs.data;
  const fresh = ready && (machines === 0 || apps.length === 0 || jobs.data.items.length === 0);

  return (
    <div className="page">
      <PageHead title={t('nav.home')} sub={t('home.hello', { name: session.display_name || session.name })} />
      {fresh && can('plugins.manage') && <FirstSteps nodes={machines > 0} apps={apps.length > 0} jobs={jobs.data.items.length > 0} />}
      <div className="stats">
        <Figure to="/nodes?state=online" value={o?.nodes?.online} label="home.online" tone={o?.nodes?.online ? 'online' : 'unknown'} />
        <Figure to="/nodes?state=offline" value={o?.nodes?.offline} label="home.offline" tone={o?.nodes?.offline ? 'offline' : 'unknown'} />
        <Figure to="/jobs?status=running" value={o ? running : undefined} label="home.running" tone={running > 0 ? 'running' : 'unknown'} />
        {(o?.executions?.to_approve ?? 0) > 0 && <Figure to="/jobs/approvals" value={o?.executions?.to_approve} label="home.toApprove" tone="waiting_approval" />}
        <Figure to="/jobs?status=failed" value={o?.executions?.failed_recent} label="home.failed" tone={o?.executions?.failed_recent ? 'failed' : 'unknown'} />
        <Figure to="/apps" value={plugins.data?.items.length} label="home.apps" tone={o?.apps?.failed ? 'failed' : apps.length > 0 ? 'active' : 'unknown'} />
      </div>
      <div className="grid2">
        {can('jobs.read') && (
          <Panel title={t('home.recentJobs')} flush actions={<Link to="/jobs">{t('home.all')}</Link>}>
            <Recent query={jobs} empty={t('home.noJobs')}>
              {(j: Execution) => (
                <tr key={j.id}>
                  <td className="fluid">
                    <Link to="/jobs/$id" params={{ id: j.id } as never}>
                      <Clip>{j.name}</Clip>
                    </Link>
                  </td>
                  <td>
                    <Status value={j.status} />
                  </td>
                  <td className="only-wide-cell">
                    <SummaryBar summary={j.summary} compact />
                  </td>
                  <td className="num">
                    <Time at={j.created_at} />
                  </td>
                </tr>
              )}
            </Recent>
          </Panel>
        )}
        {can('workflow.read') && (
          <Panel title={t('home.recentRuns')} flush actions={<Link to="/runs">{t('home.all')}</Link>}>
            <Recent query={runs} empty={t('home.noRuns')}>
              {(r: Run) => (
                <tr key={r.id}>
                  <td className="fluid">
                    <Link to="/runs/$id" params={{ id: r.id } as never}>
                      <Clip>{r.workflow}</Clip>
                    </Link>
                  </td>
                  <td>
                    <Status value={r.status} />
                  </td>
                  <td className="num dim nowrap only-wide-cell">
                    <Elapsed from={r.started_at} to={r.finished_at} ms={r.duration_ms} />
                  </td>
                  <td className="num">
                    <Time at={r.started_at} />
                  </td>
                </tr>
              )}
            </Recent>
          </Panel>
        )}
        <InstalledApps />
        {can('nodes.read') && nodes.length > 0 && (
          <Panel title={t('home.nodes')} flush actions={<Link to="/nodes">{t('home.all')}</Link>}>
            <div className="table-wrap">
              <table className="t">
                <tbody>
                  {nodes.map((n) => (
                    <tr key={n.id}>
                      <td className="fluid">
                        {n.host_instance_id ? (
                          <Link to={`/cmdb/host/${n.host_instance_id}`}>
                            <Clip>{n.name}</Clip>
                          </Link>
                        ) : (
                          <Clip>{n.name}</Clip>
                        )}
                      </td>
                      <td>
                        <Status value={n.state} />
                      </td>
                      <td className="dim mono only-wide-cell">{n.address}</td>
                      <td className="num">
                        <Time at={n.last_seen_at} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </Panel>
        )}
      </div>
    </div>
  );
}

function Figure({ to, value, label, tone }: { to: string; value: number | undefined; label: Key; tone: string }) {
  const { t } = useI18n();
  return (
    <Link to={to}>
      <span className="v">{value ?? '–'}</span>
      <span className="k">
        <Status value={tone} label={t(label)} still={value === 0} />
      </span>
    </Link>
  );
}

function Recent<R>({ query, empty, children }: { query: { data?: { items: R[] }; error: unknown; refetch: () => unknown }; empty: string; children: (r: R) => ReactNode }) {
  if (query.error)
    return (
      <div style={{ padding: 12 }}>
        <ProblemNote error={query.error} retry={() => void query.refetch()} />
      </div>
    );
  if (!query.data) return <Loading />;
  if (query.data.items.length === 0) return <p className="dim" style={{ padding: 14 }}>{empty}</p>;
  return (
    <div className="table-wrap">
      <table className="t">
        <tbody>{query.data.items.map(children)}</tbody>
      </table>
    </div>
  );
}

function InstalledApps() {
  const { t, tl } = useI18n();
  const plugins = usePlugins();
  const can = useCan();
  const entries = pluginEntries(plugins.data?.items ?? []);
  return (
    <Panel title={t('home.installed')} actions={<Link to="/catalog">{t('nav.catalog')}</Link>}>
      {plugins.error ? <ProblemNote error={plugins.error} /> : null}
      {plugins.data && entries.length === 0 && (
        <p className="dim">
          {t('home.noApps')} {can('plugins.manage') && <Link to="/catalog">{t('home.openCatalog')}</Link>}
        </p>
      )}
      <div className="tiles">
        {entries.map(({ plugin, page, to }) => (
          <Link key={to} to={to} className="tile">
            <AppIcon url={page.icon ?? plugin.icon_url} name={tl(plugin.name)} />
            <span style={{ minWidth: 0 }}>
              <Clip>{tl(page.title) || tl(plugin.name)}</Clip>
              <div className="faint">{plugin.version}</div>
            </span>
          </Link>
        ))}
      </div>
    </Panel>
  );
}

function FirstSteps({ nodes, apps, jobs }: { nodes: boolean; apps: boolean; jobs: boolean }) {
  const { t } = useI18n();
  const steps: [boolean, Key, Key, string, Key][] = [
    [nodes, 'first.enrol', 'first.enrolText', '/nodes?enrol=1', 'first.enrolGo'],
    [apps, 'first.install', 'first.installText', '/catalog', 'first.installGo'],
    [jobs, 'first.run', 'first.runText', '/jobs/run', 'first.runGo'],
  ];
  return (
    <Panel title={t('first.title')}>
      <ol className="steps">
        {steps.map(([done, title, text, to, go]) => (
          <li key={title} className={done ? 'done' : undefined}>
            <div>
              <strong>{t(title)}</strong> {done && <span className="vh">{t('first.done')}</span>}
              <div className="dim">{t(text)}</div>
            </div>
            {!done && <Link to={to}>{t(go)}</Link>}
          </li>
        ))}
      </ol>
    </Panel>
  );
}
