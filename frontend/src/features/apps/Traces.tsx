import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Waypoints } from 'lucide-react';
import { api } from '../../api/endpoints';
import type { PluginTrace } from '../../api/types';
import { Empty, Loading, Panel, ProblemNote, Time } from '../../components/base';
import { duration } from '../../components/format';
import { useI18n } from '../../i18n';

/** The last calls of an app, part by part, each part where it lies in the call's time. */
export function Traces({ id }: { id: string }) {
  const { t } = useI18n();
  const traces = useQuery({ queryKey: ['plugins', 'traces', id], queryFn: () => api.plugins.traces(id), refetchInterval: 10_000 });
  if (traces.error) return <ProblemNote error={traces.error} retry={() => void traces.refetch()} />;
  if (!traces.data) return <Loading />;
  if (traces.data.items.length === 0) {
    return (
      <Panel flush>
        <Empty icon={Waypoints} title={t('traces.none')} text={t('traces.noneText')} />
      </Panel>
    );
  }
  return (
    <div className="stack">
      <p className="dim">{t('traces.lead')}</p>
      {traces.data.items.map((x, i) => (
        <Call key={x.call} id={id} trace={x} open={i === 0} />
      ))}
    </div>
  );
}

const time = (us: number) => duration(us / 1000);

function Call({ id, trace: x, open }: { id: string; trace: PluginTrace; open: boolean }) {
  const { t } = useI18n();
  const whole = Math.max(1, x.duration_us);
  return (
    <details className="panel failure" open={open}>
      <summary>
        <code>{x.what}</code> <span>{time(x.duration_us)}</span> <span className="dim">{t('traces.cpu', { time: time(x.cpu_us) })}</span>
        {x.error && <span className="chip bad">{t('status.failed')}</span>}
        <Time at={x.at} />
      </summary>
      <div className="body stack">
        {x.error && <p style={{ overflowWrap: 'anywhere' }}>{x.error}</p>}
        {x.spans.length === 0 ? (
          <p className="dim">{t('traces.own')}</p>
        ) : (
          <ul style={{ listStyle: 'none', margin: 0, padding: 0 }}>
            {x.spans.map((s, i) => (
              <li key={i} style={{ padding: '3px 0' }}>
                <div className="row" style={{ alignItems: 'baseline' }}>
                  <code className="grow" style={{ overflowWrap: 'anywhere' }}>
                    {s.name}
                  </code>
                  <span className="dim">{time(s.duration_us)}</span>
                </div>
                <span className={`bar st-${s.error ? 'bad' : 'info'}`} aria-hidden="true">
                  <i style={{ marginInlineStart: `${Math.min(99, (s.start_us / whole) * 100)}%`, width: `${Math.min(100 - Math.min(99, (s.start_us / whole) * 100), (s.duration_us / whole) * 100)}%`, minWidth: 2 }} />
                </span>
                {s.error && <p style={{ margin: 0, color: 'var(--p-bad)', overflowWrap: 'anywhere' }}>{s.error}</p>}
              </li>
            ))}
          </ul>
        )}
        {x.more_spans > 0 && <p className="dim">{t('traces.more', { n: x.more_spans })}</p>}
        <div>
          <Link to={`/apps/${id}/logs`} search={{ q: x.call } as never}>
            {t('traces.inLog')}
          </Link>
        </div>
      </div>
    </details>
  );
}
