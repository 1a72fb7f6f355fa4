import type { Execution } from '../../api/types';
import { Status, toneOf } from '../../components/base';
import { useI18n } from '../../i18n';

const ORDER = ['succeeded', 'failed', 'timed_out', 'lost', 'rejected', 'cancelled', 'running', 'waiting', 'pending'] as const;

/** How the targets of an execution fared, as a bar and in numbers. */
export function SummaryBar({ summary, compact }: { summary: Execution['summary']; compact?: boolean }) {
  const { t } = useI18n();
  const parts = ORDER.map((s) => ({ status: s, n: summary[s] ?? 0 })).filter((p) => p.n > 0);
  const text = parts.map((p) => `${t(`status.${p.status}`)} ${p.n}`).join(', ');
  const bar = (
    <span className="bar" role="img" aria-label={text || t('jobs.noTargets')} title={text} style={{ width: compact ? 64 : '100%', height: compact ? 6 : 8 }}>
      {parts.map((p) => (
        <i key={p.status} className={`st-${toneOf(p.status)}`} style={{ width: `${(p.n / Math.max(1, summary.total)) * 100}%`, opacity: p.status === 'pending' || p.status === 'waiting' ? 0.3 : 1 }} />
      ))}
    </span>
  );
  if (compact)
    return (
      <span className="row">
        {bar}
        <span className="dim">
          {summary.succeeded}/{summary.total}
        </span>
      </span>
    );
  return (
    <div className="stack tight">
      {bar}
      <div className="row wrap" style={{ gap: '2px 16px' }}>
        {parts.map((p) => (
          <Status key={p.status} value={p.status} label={`${t(`status.${p.status}`)} ${p.n}`} />
        ))}
      </div>
    </div>
  );
}
