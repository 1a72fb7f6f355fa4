/** Lines, areas and bars. Drawn as SVG that stretches; its words are HTML, so that they never do. */
import { useState, type PointerEvent } from 'react';
import { useI18n } from '../i18n';
import { pieces, positions, thin, ticks, type ChartRow } from './chart';
import { absoluteTime } from './format';

export interface ChartSeries {
  label: string;
  tone?: 'ok' | 'warn' | 'bad' | 'info' | 'accent' | 'idle';
}

interface Props {
  label: string;
  kind?: 'line' | 'area' | 'bar';
  x: 'time' | 'number' | 'text';
  series: ChartSeries[];
  rows: ChartRow[];
  format: (v: number, series: number) => string;
  height?: number;
  /** Leaves out the table of the values: for a chart whose numbers stand beside it. */
  plain?: boolean;
}

const COLOURS = ['accent', 'info', 'warn', 'ok', 'bad', 'idle'] as const;

export function Chart({ label, kind = 'line', x, series, rows: all, format, height = 160, plain }: Props) {
  const { t, locale } = useI18n();
  const [over, setOver] = useState<number | null>(null);
  const rows = thin(all);
  const values = rows.flatMap((r) => r.values).filter((v): v is number => typeof v === 'number' && Number.isFinite(v));
  const marks = ticks(Math.min(0, ...values), Math.max(0, ...values));
  const low = marks[0] ?? 0;
  const high = marks[marks.length - 1] ?? 1;
  const y = (v: number) => 100 - ((v - low) / (high - low)) * 100;
  const scaled = x !== 'text' && kind !== 'bar';
  const at = positions(rows, scaled);
  const colour = (i: number) => `var(--p-${series[i]?.tone ?? COLOURS[i % COLOURS.length]})`;
  const word = (row: ChartRow, short = false) => {
    if (x !== 'time') return String(row.x);
    const date = new Date(Number(row.x));
    if (Number.isNaN(date.getTime())) return String(row.x);
    const day = rows.length > 1 && Math.abs(Number(rows[rows.length - 1]?.x) - Number(rows[0]?.x)) > 86_400_000;
    return short ? new Intl.DateTimeFormat(locale === 'zh' ? 'zh-CN' : 'en-GB', day ? { month: '2-digit', day: '2-digit' } : { hour: '2-digit', minute: '2-digit', second: rows.length < 60 ? '2-digit' : undefined }).format(date) : absoluteTime(date, locale);
  };
  const nearest = (e: PointerEvent) => {
    const box = e.currentTarget.getBoundingClientRect();
    const p = (e.clientX - box.left) / box.width;
    let best = 0;
    at.forEach((a, i) => {
      if (Math.abs(a - p) < Math.abs((at[best] ?? 0) - p)) best = i;
    });
    setOver(rows.length > 0 ? best : null);
  };
  const pointed = over === null ? undefined : rows[over];
  // As many words below as fit a small screen.
  const every = Math.max(1, Math.ceil(rows.length / (scaled ? 4 : 12)));
  const bar = Math.min(0.8 / Math.max(1, rows.length), 0.12) * 1000;
  return (
    <figure className="chart">
      <figcaption className="legend">
        {series.map((s, i) => (
          <span key={i}>
            <i style={{ background: colour(i) }} aria-hidden="true" />
            {s.label}
          </span>
        ))}
      </figcaption>
      <div className="plot" style={{ height }} role="img" aria-label={`${label}: ${series.map((s) => s.label).join(', ')}`}>
        <div className="marks" aria-hidden="true">
          {marks.map((m) => (
            <span key={m} style={{ top: `${y(m)}%` }}>
              {format(m, 0)}
            </span>
          ))}
        </div>
        <div className="area" onPointerMove={nearest} onPointerLeave={() => setOver(null)} aria-hidden="true">
          <svg viewBox="0 0 1000 100" preserveAspectRatio="none">
            {marks.map((m) => (
              <line key={m} x1="0" x2="1000" y1={y(m)} y2={y(m)} className="grid" />
            ))}
            {series.map((_, s) => {
              const own = rows.map((r) => r.values[s] ?? null);
              if (kind === 'bar') {
                const width = bar / series.length;
                return own.map((v, i) =>
                  v === null ? null : (
                    <rect key={`${s}-${i}`} x={(at[i] ?? 0) * 1000 - bar / 2 + s * width} width={Math.max(width * 0.92, 0.5)} y={Math.min(y(v), y(0))} height={Math.abs(y(0) - y(v))} fill={colour(s)} opacity={over === null || over === i ? 1 : 0.55} />
                  ),
                );
              }
              return pieces(at, own, y).map((piece, i) => {
                const line = piece.map(([px, py]) => `${(px * 1000).toFixed(1)},${py.toFixed(2)}`).join(' L');
                const [first] = piece;
                const last = piece[piece.length - 1];
                return (
                  <g key={`${s}-${i}`}>
                    {kind === 'area' && first && last && <path d={`M${(first[0] * 1000).toFixed(1)},${y(0)} L${line} L${(last[0] * 1000).toFixed(1)},${y(0)} Z`} fill={colour(s)} opacity=".16" />}
                    {/* A point alone is a short stroke: a path of one point draws nothing. */}
                    <path d={piece.length === 1 ? `M${line} h.1` : `M${line}`} fill="none" stroke={colour(s)} strokeLinecap="round" strokeLinejoin="round" className={piece.length === 1 ? 'dot' : 'line'} />
                  </g>
                );
              });
            })}
            {over !== null && kind !== 'bar' && <line x1={(at[over] ?? 0) * 1000} x2={(at[over] ?? 0) * 1000} y1="0" y2="100" className="cross" />}
          </svg>
          {pointed && (
            <div className="tip" style={(at[over ?? 0] ?? 0) > 0.5 ? { right: `${(1 - (at[over ?? 0] ?? 0)) * 100}%` } : { left: `${(at[over ?? 0] ?? 0) * 100}%` }}>
              <strong>{word(pointed)}</strong>
              {series.map((s, i) => {
                const v = pointed.values[i];
                return (
                  <div key={i}>
                    <i style={{ background: colour(i) }} /> {s.label}: {typeof v === 'number' ? format(v, i) : '—'}
                  </div>
                );
              })}
            </div>
          )}
        </div>
      </div>
      <div className="words" aria-hidden="true">
        {rows.map((r, i) =>
          i % every !== 0 ? null : (
            <span key={i} style={{ left: `${(at[i] ?? 0) * 100}%`, ...(scaled && i === 0 ? { transform: 'none' } : scaled && (at[i] ?? 0) > 0.85 ? { transform: 'translateX(-100%)' } : {}), maxWidth: scaled ? undefined : `${(100 / rows.length) * every}%` }}>
              {word(r, true)}
            </span>
          ),
        )}
      </div>
      {!plain && rows.length > 0 && (
        <details className="values">
          <summary>{t('chart.values')}</summary>
          <div className="table-wrap" style={{ maxHeight: 260, overflow: 'auto' }} tabIndex={0} role="region" aria-label={`${label}: ${t('chart.values')}`}>
            <table className="t">
              <thead>
                <tr>
                  <th scope="col">{x === 'time' ? t('chart.time') : ''}</th>
                  {series.map((s, i) => (
                    <th key={i} scope="col" className="num">
                      {s.label}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {rows.map((r, i) => (
                  <tr key={i}>
                    <td>{word(r)}</td>
                    {series.map((_, s) => {
                      const v = r.values[s];
                      return (
                        <td key={s} className="num">
                          {typeof v === 'number' ? format(v, s) : '—'}
                        </td>
                      );
                    })}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </figure>
  );
}
