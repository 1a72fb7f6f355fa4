/** Whether an index finds what the list shows, or every record is read for it. */
import { Popover } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Gauge, TriangleAlert } from 'lucide-react';
import { api } from '../../api/endpoints';
import { Icon } from '../../components/base';
import { useI18n } from '../../i18n';

export function PlanNote({ model, filter }: { model: string; filter: string }) {
  const { t } = useI18n();
  const { data } = useQuery({
    queryKey: ['cmdb', 'explain', model, filter],
    queryFn: () => api.cmdb.explain(model, filter),
    enabled: filter !== '',
    staleTime: 60_000,
    retry: false,
  });
  if (!filter || !data) return null;
  const own = data.steps.filter((s) => s.model === model && s.index);
  const names = [...new Set(own.flatMap((s) => s.index ?? []))].join(', ');
  const others = data.steps.filter((s) => s.model && s.model !== model && s.index).flatMap((s) => (s.index ?? []).map((i) => `${s.model}.${i}`));
  const n = data.records.toLocaleString();
  const text = data.scans ? (data.slow ? t('query.slow', { n }) : t('query.scans', { n })) : t('query.index', { names: names || [...new Set(others)].join(', ') || 'id' });
  return (
    <div className={data.slow ? 'plan-note slow' : 'plan-note'} role={data.slow ? 'status' : undefined}>
      <Icon of={data.slow ? TriangleAlert : Gauge} />
      <span>{text}</span>
      <Popover
        trigger="click"
        title={t('query.plan')}
        content={
          <pre className="mono" style={{ maxWidth: 'min(720px, 80vw)', maxHeight: 320, overflow: 'auto', margin: 0 }}>
            {data.plan.join('\n')}
          </pre>
        }
      >
        <button type="button" className="link-btn">
          {t('query.plan')}
        </button>
      </Popover>
    </div>
  );
}
