/** How runs ended, how long they took, why they failed and what was slow, over a span of time. */
import { Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { ChartNoAxesCombined, X } from 'lucide-react';
import { api } from '../../api/endpoints';
import type { Spread } from '../../api/types';
import { Chart } from '../../components/Chart';
import { duration } from '../../components/format';
import { Chip, Clip, Empty, Icon, Loading, Note, PageHead, Panel, ProblemNote, Time } from '../../components/base';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { WorkflowTabs } from './tabs';

const HOUR = 3_600_000;
const SPANS = { day: 24 * HOUR, week: 7 * 24 * HOUR, month: 30 * 24 * HOUR, quarter: 90 * 24 * HOUR } as const;
type Span = keyof typeof SPANS;

const cells = (d: Spread | null) => [d?.p50, d?.p95, d?.max].map((ms) => duration(ms));

export default function Statistics() {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const span: Span = url.span && url.span in SPANS ? (url.span as Span) : 'week';
  const stats = useQuery({
    queryKey: ['runs', 'statistics', span, url.workflow ?? ''],
    // The end of the span is the moment of asking.
    queryFn: () => api.runs.statistics({ workflow: url.workflow, from: new Date(Date.now() - SPANS[span]).toISOString() }),
    staleTime: 60_000,
    placeholderData: (old) => old,
  });
  const s = stats.data;
  const ended = (s?.by_status.succeeded ?? 0) + (s?.by_status.failed ?? 0);
  return (
    <div className="page">
      <PageHead
        title={t('statistics.title')}
        crumbs={[{ label: t('nav.workflows'), to: '/workflows' }]}
        sub={
          url.workflow && (
            <Chip tone="accent">
              {url.workflow}
              <button type="button" className="icon-btn" style={{ height: 18, minWidth: 18, padding: 0 }} aria-label={t('list.clear')} onClick={() => setUrl({ workflow: undefined }, true)}>
                <Icon of={X} />
              </button>
            </Chip>
          )
        }
        actions={<Select<Span> aria-label={t('statistics.span')} value={span} onChange={(v) => setUrl({ span: v === 'week' ? undefined : v }, true)} options={(Object.keys(SPANS) as Span[]).map((v) => ({ value: v, label: t(`statistics.${v}`) }))} />}
      />
      <WorkflowTabs />
      {stats.error ? (
        <ProblemNote error={stats.error} retry={() => void stats.refetch()} />
      ) : !s ? (
        <Loading />
      ) : s.runs === 0 ? (
        <section className="panel">
          <Empty icon={ChartNoAxesCombined} title={t('statistics.none')} text={t('statistics.noneText')} />
        </section>
      ) : (
        <>
          {s.more && <Note tone="info">{t('statistics.more', { n: s.runs })}</Note>}
          <div className="stats">
            {[
              [t('workflows.runs'), String(s.runs)],
              [t('statistics.good'), ended === 0 ? '—' : `${(((s.by_status.succeeded ?? 0) / ended) * 100).toFixed(1)} %`],
              [t('statistics.failed'), String(s.by_status.failed ?? 0)],
              [t('statistics.p50'), duration(s.durations?.p50)],
              [t('statistics.p95'), duration(s.durations?.p95)],
              [t('statistics.p99'), duration(s.durations?.p99)],
            ].map(([k, v]) => (
              <div key={k}>
                <span className="v">{v}</span>
                <span className="k">{k}</span>
              </div>
            ))}
          </div>
          <div className="grid2">
            <Panel title={t('statistics.overTime')}>
              <Chart
                label={t('statistics.overTime')}
                kind="bar"
                x="time"
                series={[
                  { label: t('status.succeeded'), tone: 'ok' },
                  { label: t('status.failed'), tone: 'bad' },
                ]}
                rows={s.buckets.map((b) => ({ x: Date.parse(b.at), values: [b.succeeded, b.failed] }))}
                format={(v) => String(Math.round(v))}
              />
            </Panel>
            <Panel title={t('statistics.p50')}>
              <Chart label={t('statistics.p50')} x="time" series={[{ label: t('statistics.p50') }]} rows={s.buckets.map((b) => ({ x: Date.parse(b.at), values: [b.p50] }))} format={(v) => duration(v)} />
            </Panel>
          </div>
          <Panel title={t('statistics.causes')} flush>
            {s.causes.length === 0 ? (
              <p className="dim" style={{ padding: 12 }}>{t('statistics.noCauses')}</p>
            ) : (
              <Table heads={[t('statistics.cause'), t('statistics.where'), t('workflows.workflow'), t('workflows.runs'), t('statistics.last')]} numbers={3}>
                {s.causes.map((c) => (
                  <tr key={`${c.workflow} ${c.instance} ${c.type} ${c.title}`}>
                    <td className="first">
                      <Clip width={320}>{c.title || c.type}</Clip>
                      <div className="faint">
                        <Clip width={320}>{c.type.split('/').at(-1)}</Clip>
                      </div>
                    </td>
                    <td data-label={t('statistics.where')}>
                      <Clip mono width={300}>{c.instance}</Clip>
                    </td>
                    <td data-label={t('workflows.workflow')}>
                      <Clip width={200}>{c.workflow}</Clip>
                    </td>
                    <td data-label={t('workflows.runs')} className="num">
                      {c.runs}
                    </td>
                    <td data-label={t('statistics.last')} className="num">
                      <Link to={`/runs/${c.last_run}`}>
                        <Time at={c.last_at} />
                      </Link>
                    </td>
                  </tr>
                ))}
              </Table>
            )}
          </Panel>
          <Panel title={t('statistics.slow', { n: s.task_runs })} flush>
            <Table heads={[t('statistics.task'), t('workflows.workflow'), t('statistics.count'), t('statistics.failed'), t('statistics.half'), t('statistics.most'), t('statistics.longest'), t('statistics.total')]} numbers={2}>
              {s.tasks.filter((x) => x.total_ms > 0 || x.failed > 0).map((x) => (
                <tr key={`${x.workflow} ${x.pointer}`}>
                  <td className="first">
                    <Clip width={280}>{x.name}</Clip>
                    <div className="faint">
                      <Clip mono width={280}>{x.what}</Clip>
                    </div>
                  </td>
                  <td data-label={t('workflows.workflow')}>
                    <Clip width={200}>{x.workflow}</Clip>
                  </td>
                  <td data-label={t('statistics.count')} className="num">{x.count}</td>
                  <td data-label={t('statistics.failed')} className="num">{x.failed}</td>
                  {[t('statistics.half'), t('statistics.most'), t('statistics.longest')].map((label, i) => (
                    <td key={label} data-label={label} className="num">{cells(x.durations)[i]}</td>
                  ))}
                  <td data-label={t('statistics.total')} className="num">{duration(x.total_ms)}</td>
                </tr>
              ))}
            </Table>
          </Panel>
          <Panel title={t('workflows.definitions')} flush>
            <Table heads={[t('workflows.workflow'), t('workflows.runs'), t('statistics.failed'), t('statistics.half'), t('statistics.most'), t('statistics.longest')]} numbers={1}>
              {s.workflows.map((w) => (
                <tr key={w.workflow}>
                  <td className="first">
                    <button type="button" className="link-btn" onClick={() => setUrl({ workflow: w.workflow }, true)}>
                      <Clip width={320}>{w.workflow}</Clip>
                    </button>
                  </td>
                  <td data-label={t('workflows.runs')} className="num">{w.runs}</td>
                  <td data-label={t('statistics.failed')} className="num">{w.failed}</td>
                  {[t('statistics.half'), t('statistics.most'), t('statistics.longest')].map((label, i) => (
                    <td key={label} data-label={label} className="num">{cells(w.durations)[i]}</td>
                  ))}
                </tr>
              ))}
            </Table>
          </Panel>
        </>
      )}
    </div>
  );
}

/** Columns from `numbers` on are numbers. */
function Table({ heads, numbers, children }: { heads: string[]; numbers: number; children: React.ReactNode }) {
  return (
    <div className="table-wrap">
      <table className="t stacked">
        <thead>
          <tr>
            {heads.map((h, i) => (
              <th key={h} scope="col" className={i >= numbers ? 'num' : undefined}>
                {h}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
