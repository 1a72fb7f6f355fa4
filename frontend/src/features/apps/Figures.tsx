import { useQuery } from '@tanstack/react-query';
import { api } from '../../api/endpoints';
import type { PluginFigure } from '../../api/types';
import { Panel, ProblemNote } from '../../components/base';
import { useI18n } from '../../i18n';

type Row = { name: string; kind: string; series: PluginFigure['series'][number] };

/** What an app counts itself; nothing is shown of one that counts nothing. */
export function Figures({ id }: { id: string }) {
  const { t, locale } = useI18n();
  const figures = useQuery({ queryKey: ['plugins', 'figures', id], queryFn: () => api.plugins.figures(id), refetchInterval: 10_000 });
  if (figures.error) return <ProblemNote error={figures.error} retry={() => void figures.refetch()} />;
  const rows: Row[] = (figures.data?.items ?? []).flatMap((f) => f.series.map((series) => ({ name: f.name, kind: f.kind, series })));
  if (rows.length === 0) return null;
  const n = (v: number) => new Intl.NumberFormat(locale === 'zh' ? 'zh-CN' : 'en-GB', { maximumSignificantDigits: 6 }).format(v);
  const value = ({ series: s }: Row) => (s.count === null ? n(s.value) : t('figures.mean', { n: n(s.count), mean: s.count > 0 ? n(s.value / s.count) : '—' }));
  return (
    <Panel title={t('figures.title')} flush>
      <div style={{ overflow: 'auto', maxHeight: '50vh' }} tabIndex={0} role="region" aria-label={t('figures.title')}>
        <table className="table">
          <thead>
            <tr>
              <th>{t('figures.name')}</th>
              <th>{t('figures.labels')}</th>
              <th>{t('figures.value')}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((r, i) => (
              <tr key={i}>
                <td>
                  <code>{r.name}</code>
                </td>
                <td className="dim">
                  {Object.entries(r.series.labels)
                    .map(([k, v]) => `${k}=${v}`)
                    .join(', ')}
                </td>
                <td>{value(r)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
