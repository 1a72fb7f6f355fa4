/** The last half hour of a node, in small charts. */
import { useQuery } from '@tanstack/react-query';
import { Activity } from 'lucide-react';
import { Chart } from '../../components/Chart';
import { Empty, Loading, ProblemNote } from '../../components/base';
import { bytes } from '../../components/format';
import { useI18n } from '../../i18n';
import { nodeApi, type MetricHistory } from './api';

export function useNodeMetrics(id: string, limit: number) {
  return useQuery({ queryKey: ['nodes', 'metrics', id, limit], queryFn: () => nodeApi.metrics(id, { limit }), refetchInterval: 15_000, retry: false });
}

export function rowsOf(history: MetricHistory, keys: (keyof Omit<MetricHistory, 'times'>)[]) {
  return history.times.map((x, i) => ({ x, values: keys.map((k) => history[k][i] ?? null) }));
}

export function NodeCharts({ id }: { id: string }) {
  const { t, locale } = useI18n();
  const found = useNodeMetrics(id, 0);
  if (found.error) return <ProblemNote error={found.error} retry={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const { history } = found.data;
  if (history.times.length === 0) return <Empty icon={Activity} title={t('nodeMetrics.none')} text={t('nodeMetrics.noneText')} />;
  const share = (v: number) => `${Math.round(v * 100)} %`;
  const rate = (v: number) => `${bytes(v)}/s`;
  const number = (v: number) => new Intl.NumberFormat(locale === 'zh' ? 'zh-CN' : 'en-GB', { maximumFractionDigits: 2 }).format(v);
  const charts: { label: string; keys: (keyof Omit<MetricHistory, 'times'>)[]; names: string[]; format: (v: number) => string }[] = [
    { label: t('nodeMetrics.cpuMemory'), keys: ['cpu', 'memory'], names: [t('nodeMetrics.cpu'), t('nodeMetrics.memory')], format: share },
    { label: t('nodeMetrics.network'), keys: ['network_in', 'network_out'], names: [t('nodeMetrics.networkIn'), t('nodeMetrics.networkOut')], format: rate },
    { label: t('nodeMetrics.diskIo'), keys: ['disk_read', 'disk_write'], names: [t('nodeMetrics.diskRead'), t('nodeMetrics.diskWrite')], format: rate },
    { label: t('nodeMetrics.disk'), keys: ['disk'], names: [t('nodeMetrics.disk')], format: share },
    { label: t('nodeMetrics.load'), keys: ['load_1m'], names: [t('nodeMetrics.load')], format: number },
  ];
  return (
    <div style={{ display: 'grid', gridTemplateColumns: 'repeat(auto-fit, minmax(min(300px, 100%), 1fr))', gap: 14 }}>
      {charts.map((c) => (
        <Chart key={c.label} label={c.label} kind="area" x="time" height={110} plain series={c.names.map((label) => ({ label }))} rows={rowsOf(history, c.keys)} format={(v) => c.format(v)} />
      ))}
    </div>
  );
}
