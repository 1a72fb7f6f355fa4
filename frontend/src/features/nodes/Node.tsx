/** A node: what it is, what it measures, what its agent is told. */
import { Button, Input } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { Play } from 'lucide-react';
import { useDeferredValue, useState } from 'react';
import { api } from '../../api/endpoints';
import { Chip, Empty, Icon, Loading, Note, PageHead, Panel, ProblemNote, Status, Time } from '../../components/base';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { nodeApi, type CheckState, type Metric } from './api';
import { NodeCharts, useNodeMetrics } from './Charts';

const SHOWN = 200;

export default function NodePage() {
  const { t } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const { id = '' } = useParams({ strict: false }) as { id?: string };
  const node = useQuery({ queryKey: ['nodes', 'one', id], queryFn: () => api.nodes.get(id), refetchInterval: 15_000 });
  const metrics = useNodeMetrics(id, 10_000);
  if (node.error) return <ProblemNote error={node.error} retry={() => void node.refetch()} />;
  if (!node.data) return <Loading />;
  const n = node.data;
  return (
    <div className="page">
      <PageHead
        title={n.name}
        crumbs={[{ label: t('nav.nodes'), to: '/nodes' }]}
        sub={
          <>
            <Status value={n.state} />
            <Time at={n.state_since} />
            <span className="faint mono">{n.id}</span>
          </>
        }
        actions={
          can('jobs.run') &&
          n.state !== 'revoked' && (
            <Button icon={<Icon of={Play} />} onClick={() => void navigate({ to: '/jobs/run', search: { node: n.id } as never })}>
              {t('jobs.runScript')}
            </Button>
          )
        }
      />
      <div className="split">
        <div className="stack">
          <Panel title={t('nodeMetrics.title')} actions={metrics.data?.received_at ? <span className="dim">{t('nodeMetrics.received')} <Time at={metrics.data.received_at} /></span> : undefined}>
            <NodeCharts id={n.id} />
            {metrics.data && metrics.data.dropped_batches > 0 && <Note tone="warn">{t('nodeMetrics.dropped', { n: metrics.data.dropped_batches })}</Note>}
          </Panel>
          {metrics.data && metrics.data.checks.length > 0 && <Checks checks={metrics.data.checks} />}
          {metrics.data && metrics.data.values.length > 0 && <Values values={metrics.data.values} />}
        </div>
        <div className="stack">
          <Panel title={t('section.general')}>
            <dl className="kv">
              <Row name={t('nodes.agentVersion')}>{n.agent_version}</Row>
              <Row name={t('nodes.address')}>{n.address && <span className="mono">{n.address}</span>}</Row>
              <Row name={t('nodes.lastSeen')}><Time at={n.last_seen_at} /></Row>
              <Row name={t('nodes.enrolledAt')}><Time at={n.enrolled_at} /></Row>
              <Row name={t('nodes.running')}>{n.running}</Row>
              <Row name={t('nodes.jobs')}><Link to="/jobs" search={{ node_id: n.id } as never}>{t('home.all')}</Link></Row>
              {n.host_instance_id && <Row name={t('nav.cmdb')}><Link to={`/cmdb/host/${n.host_instance_id}`}>{n.name}</Link></Row>}
            </dl>
          </Panel>
          <SettingsPanel id={n.id} />
        </div>
      </div>
    </div>
  );
}

function Row({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Checks({ checks }: { checks: CheckState[] }) {
  const { t } = useI18n();
  return (
    <Panel title={t('nodePolicy.checks')} flush>
      <div className="table-wrap" tabIndex={0} role="region" aria-label={t('nodePolicy.checks')}>
        <table className="t">
          <thead>
            <tr>
              <th scope="col">{t('nodePolicy.name')}</th>
              <th scope="col">{t('field.status')}</th>
              <th scope="col">{t('nodePolicy.target')}</th>
              <th scope="col">{t('nodePolicy.found')}</th>
            </tr>
          </thead>
          <tbody>
            {checks.map((c) => (
              <tr key={c.name}>
                <td>{c.name}</td>
                <td>
                  <Chip tone={c.ok ? 'ok' : 'bad'}>{c.ok ? t('nodePolicy.well') : t('nodePolicy.notWell')}</Chip>
                </td>
                <td>
                  <span className="faint">{c.kind}</span> <span className="mono">{c.target}</span>
                </td>
                <td>{c.message}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Values({ values }: { values: Metric[] }) {
  const { t, locale } = useI18n();
  const [wanted, setWanted] = useState('');
  const text = useDeferredValue(wanted.trim().toLowerCase());
  const labels = (m: Metric) => Object.entries(m.labels).map(([k, v]) => `${k}="${v}"`).join(', ');
  const found = text ? values.filter((m) => `${m.name}{${labels(m)}}`.toLowerCase().includes(text)) : values;
  const format = new Intl.NumberFormat(locale === 'zh' ? 'zh-CN' : 'en-GB', { maximumFractionDigits: 3 });
  return (
    <Panel title={t('nodeMetrics.values')} flush actions={<Input allowClear style={{ width: 220 }} placeholder={t('nodeMetrics.search')} aria-label={t('nodeMetrics.search')} value={wanted} onChange={(e) => setWanted(e.target.value)} />}>
      {found.length === 0 ? (
        <Empty title={t('nodeMetrics.noMatch')} />
      ) : (
        <div className="table-wrap" style={{ maxHeight: 480, overflow: 'auto' }} tabIndex={0} role="region" aria-label={t('nodeMetrics.values')}>
          <table className="t">
            <thead>
              <tr>
                <th scope="col">{t('nodeMetrics.metric')}</th>
                <th scope="col" className="num">{t('nodeMetrics.value')}</th>
              </tr>
            </thead>
            <tbody>
              {found.slice(0, SHOWN).map((m) => (
                <tr key={`${m.name}{${labels(m)}}`}>
                  <td className="mono" style={{ whiteSpace: 'normal', overflowWrap: 'anywhere' }}>
                    {m.name} {labels(m) && <span className="faint">{labels(m)}</span>}
                  </td>
                  <td className="num mono">{m.value === null ? '∞' : format.format(m.value)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found.length > SHOWN && <p className="dim" style={{ padding: '6px 12px' }}>{t('nodeMetrics.more', { n: found.length - SHOWN })}</p>}
    </Panel>
  );
}

function SettingsPanel({ id }: { id: string }) {
  const { t } = useI18n();
  const found = useQuery({ queryKey: ['nodes', 'settings', id], queryFn: () => nodeApi.settings(id), retry: false });
  return (
    <Panel title={t('nodePolicy.told')} actions={<Link to="/nodes/policies">{t('nodePolicy.title')}</Link>}>
      {found.error ? <ProblemNote error={found.error} /> : null}
      {found.data && (
        <dl className="kv">
          <Row name={t('nodePolicy.metricsEvery')}>{found.data.settings.metrics_s ? t('nodePolicy.seconds', { n: found.data.settings.metrics_s }) : t('nodePolicy.noMetrics')}</Row>
          <Row name={t('nodePolicy.sendEvery')}>{t('nodePolicy.seconds', { n: found.data.settings.metrics_send_s ?? 0 })}</Row>
          <Row name={t('nodePolicy.scrapes')}>{(found.data.settings.scrapes ?? []).map((s) => s.name).join(', ') || '—'}</Row>
          <Row name={t('nodePolicy.checks')}>{(found.data.settings.checks ?? []).map((c) => c.name).join(', ') || '—'}</Row>
          <Row name={t('nodePolicy.by')}>{found.data.policies.join(', ') || t('nodePolicy.usual')}</Row>
        </dl>
      )}
    </Panel>
  );
}
