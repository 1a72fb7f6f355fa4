import { useQuery, useQueryClient } from '@tanstack/react-query';
import { api } from '../../api/endpoints';
import { Chart } from '../../components/Chart';
import { Loading, Panel, ProblemNote } from '../../components/base';
import { bytes, duration } from '../../components/format';
import { useI18n } from '../../i18n';
import { rates, share, withSample, type Watched } from './usage';

/** What an app uses of what it may use, and how that goes while one looks. */
export function Usage({ id }: { id: string }) {
  const { t, locale } = useI18n();
  const client = useQueryClient();
  const key = ['plugins', 'metrics', id];
  const watched = useQuery({
    queryKey: key,
    queryFn: async (): Promise<Watched> => {
      const now = await api.plugins.metrics(id);
      return { now, samples: withSample(client.getQueryData<Watched>(key)?.samples, now, Date.now()) };
    },
    refetchInterval: 5000,
    staleTime: 4000,
  });
  if (watched.error) return <ProblemNote error={watched.error} retry={() => void watched.refetch()} />;
  if (!watched.data) return <Loading />;
  const { now: m, samples } = watched.data;
  const n = (v: number) => new Intl.NumberFormat(locale === 'zh' ? 'zh-CN' : 'en-GB', { maximumFractionDigits: 1 }).format(v);
  const quick = samples.map((s) => ({ x: s.at, values: s.calls > 0 ? [s.p50, s.p95, s.p99] : [null, null, null] }));
  const busy = rates(samples);
  return (
    <Panel title={t('usage.title')}>
      <div className="stack">
        <div className="stats">
          <Figure label={t('stat.calls')} value={n(m.calls)} />
          <Figure label={t('stat.errors')} value={n(m.errors)} tone={m.errors > 0 ? 'bad' : undefined} />
          <Figure label={t('usage.refused')} value={n(m.refused)} tone={m.refused > 0 ? 'warn' : undefined} />
          <Figure label={t('usage.now')} value={n(m.running)} />
          <Figure label={t('stat.p50_ms')} value={m.calls > 0 ? duration(m.p50_ms) : '—'} />
          <Figure label={t('stat.p95_ms')} value={m.calls > 0 ? duration(m.p95_ms) : '—'} />
          <Figure label={t('stat.p99_ms')} value={m.calls > 0 ? duration(m.p99_ms) : '—'} />
          <Figure label={t('stat.memory_peak_bytes')} value={bytes(m.memory_peak_bytes)} />
        </div>
        <dl className="meters">
          <Meter label={t('usage.cpuMinute')} used={m.cpu_per_minute_ms - m.cpu_left_ms} limit={m.cpu_per_minute_ms} show={duration} more={t('usage.cpu', { time: duration(m.cpu_ms) })} />
          <Meter label={t('usage.queue')} used={m.queued} limit={m.queue_limit} show={n} more={t('usage.peak', { n: m.queue_peak })} />
          <Meter label={t('usage.storage')} used={m.storage_bytes} limit={m.storage_limit_bytes} show={bytes} />
          <Meter
            label={t('usage.outgoing')}
            used={m.outgoing_per_minute - m.outgoing_left}
            limit={m.outgoing_per_minute}
            show={n}
            more={t('usage.outgoingAll', { n: m.outgoing, refused: m.outgoing_refused })}
          />
        </dl>
        {m.log_dropped > 0 && <p className="dim">{t('usage.logDropped', { n: m.log_dropped, limit: m.log_lines_per_minute })}</p>}
        <div className="grid2">
          <section>
            <h3 className="sub-title">{t('usage.perMinute')}</h3>
            {busy.length > 1 ? (
              <Chart plain label={t('usage.perMinute')} x="time" kind="area" height={110} series={[{ label: t('stat.calls'), tone: 'accent' }, { label: t('stat.errors'), tone: 'bad' }, { label: t('usage.refused'), tone: 'warn' }]} rows={busy} format={n} />
            ) : (
              <p className="dim">{t('usage.gathering')}</p>
            )}
          </section>
          <section>
            <h3 className="sub-title">{t('usage.durations')}</h3>
            {m.calls > 0 && quick.length > 1 ? (
              <Chart plain label={t('usage.durations')} x="time" height={110} series={[{ label: 'p50', tone: 'ok' }, { label: 'p95', tone: 'info' }, { label: 'p99', tone: 'warn' }]} rows={quick} format={(v) => duration(v)} />
            ) : (
              <p className="dim">{m.calls > 0 ? t('usage.gathering') : t('usage.noCalls')}</p>
            )}
          </section>
        </div>
        <p className="dim">{t('usage.since')}</p>
      </div>
    </Panel>
  );
}

function Figure({ label, value, tone }: { label: string; value: string; tone?: 'bad' | 'warn' }) {
  return (
    <div>
      <span className="v" style={tone ? { color: `var(--p-${tone})` } : undefined}>
        {value}
      </span>
      <span className="k">{label}</span>
    </div>
  );
}

function Meter({ label, used, limit, show, more }: { label: string; used: number; limit: number; show: (v: number) => string; more?: string }) {
  const { t } = useI18n();
  const part = share(used, limit);
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        <span>{t('usage.of', { used: show(Math.max(0, used)), limit: show(limit) })}</span>
        <span className={`bar st-${part > 0.9 ? 'bad' : part > 0.7 ? 'warn' : 'info'}`} aria-hidden="true">
          <i style={{ width: `${part * 100}%`, minWidth: used > 0 ? 2 : 0 }} />
        </span>
        {more && <span className="dim">{more}</span>}
      </dd>
    </div>
  );
}
