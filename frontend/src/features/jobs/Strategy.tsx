import { Form, Input, InputNumber, Radio } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api } from '../../api/endpoints';
import type { Execution, Strategy } from '../../api/types';
import { Elapsed, Note, Panel, Status, Time } from '../../components/base';
import { useI18n } from '../../i18n';
import { SummaryBar } from './SummaryBar';

/** What the form asks about the way through the targets. */
export interface StrategyDraft {
  batches: string;
  pause_s: number | null;
  tolerate: string;
  total_timeout_s: number | null;
  offline: 'wait' | 'fail';
  wait_s: number | null;
}

export const strategyDraft = (old?: Execution): StrategyDraft => ({
  batches: old?.strategy.batches ?? '',
  pause_s: old?.strategy.pause_s || null,
  tolerate: old?.strategy.tolerate ?? '',
  total_timeout_s: old?.strategy.total_timeout_s ?? null,
  offline: old?.wait_s === 0 ? 'fail' : 'wait',
  wait_s: old?.wait_s || null,
});

export const strategyOf = (d: StrategyDraft): { strategy: Strategy; wait_s?: number } => ({
  strategy: { batches: d.batches.trim(), pause_s: d.pause_s ?? 0, tolerate: d.tolerate.trim() || null, total_timeout_s: d.total_timeout_s ?? null },
  ...(d.offline === 'fail' ? { wait_s: 0 } : d.wait_s ? { wait_s: d.wait_s } : {}),
});

const BATCHES = /^\s*((\d+%?|[+*]\d+)[\s,]*)*$/;

export function StrategyFields() {
  const { t } = useI18n();
  return (
    <fieldset>
      <legend>{t('jobs.strategy')}</legend>
      <div className="form-grid">
        <Form.Item name="batches" label={t('jobs.batches')} extra={t('jobs.batchesHint')} rules={[{ pattern: BATCHES, message: t('jobs.batchesBad') }]}>
          <Input placeholder="1 10% *2" spellCheck={false} autoCapitalize="off" />
        </Form.Item>
        <Form.Item name="pause_s" label={t('jobs.pause')}>
          <InputNumber min={0} max={86_400} precision={0} style={{ width: '100%' }} placeholder="0" />
        </Form.Item>
        <Form.Item name="tolerate" label={t('jobs.tolerate')} extra={t('jobs.tolerateHint')} rules={[{ pattern: /^\s*(\d+%?)?\s*$/, message: t('jobs.tolerateBad') }]}>
          <Input placeholder={t('jobs.tolerateAll')} spellCheck={false} />
        </Form.Item>
        <Form.Item name="total_timeout_s" label={t('jobs.totalTimeout')}>
          <InputNumber min={1} max={2_592_000} precision={0} style={{ width: '100%' }} placeholder={t('jobs.none')} />
        </Form.Item>
        <Form.Item name="offline" label={t('jobs.ifOffline')}>
          <Radio.Group
            options={[
              { value: 'wait', label: t('jobs.offlineWait') },
              { value: 'fail', label: t('jobs.offlineFail') },
            ]}
          />
        </Form.Item>
        <Form.Item noStyle shouldUpdate={(a: StrategyDraft, b: StrategyDraft) => a.offline !== b.offline}>
          {({ getFieldValue }) =>
            getFieldValue('offline') === 'wait' && (
              <Form.Item name="wait_s" label={t('jobs.waitSeconds')}>
                <InputNumber min={1} max={604_800} precision={0} style={{ width: '100%' }} placeholder={t('jobs.waitAsTimeout')} />
              </Form.Item>
            )
          }
        </Form.Item>
      </div>
    </fieldset>
  );
}

/** Which batch is under way, what is waited for, and why it stopped. */
export function ProgressNote({ execution: e }: { execution: Execution }) {
  const { t } = useI18n();
  const p = e.progress;
  const running = e.status === 'running';
  const many = p.batches > 1;
  if (!many && !p.stop_reason && !(running && p.deadline)) return null;
  return (
    <div className="stack tight">
      {p.stop_reason && (
        <Note tone="warn" title={t(p.stop_code === 'jobs.total_timeout' ? 'jobs.stoppedTime' : 'jobs.stoppedFailures')}>
          {p.stop_reason}. {t('jobs.stoppedText')} <Time at={p.stopped_at} />
        </Note>
      )}
      {many && (
        <span>
          <strong>{t('jobs.batchOf', { n: p.batch, total: p.batches })}</strong>{' '}
          {running && !p.stopped_at && p.resume_at && (
            <span className="dim">
              {t('jobs.pausedUntil')} <Time at={p.resume_at} both />
            </span>
          )}
          {running && !p.stopped_at && !p.resume_at && (
            <span className="dim">
              {t('jobs.batchSince')} <Elapsed from={p.since} />
            </span>
          )}
        </span>
      )}
      {running && p.deadline && !p.stopped_at && (
        <span className="dim">
          {t('jobs.deadline')} <Time at={p.deadline} both />
        </span>
      )}
    </div>
  );
}

/** Executions that repeat each other, in both directions. */
export function Chain({ execution: e }: { execution: Execution }) {
  const { t } = useI18n();
  const chain = useQuery({ queryKey: ['jobs', 'chain', e.id], queryFn: () => api.jobs.chain(e.id) });
  const items = chain.data?.items ?? [];
  if (items.length < 2) return null;
  return (
    <Panel title={t('jobs.chain')} flush>
      <div className="table-wrap">
        <table className="t">
          <thead>
            <tr>
              <th scope="col">{t('field.started')}</th>
              <th scope="col">{t('field.status')}</th>
              <th scope="col">{t('jobs.targets')}</th>
              <th scope="col" className="only-wide-cell">{t('field.by')}</th>
            </tr>
          </thead>
          <tbody>
            {items.map((x, i) => (
              <tr key={x.id} aria-current={x.id === e.id || undefined}>
                <td>
                  {x.id === e.id ? (
                    <strong>
                      {t(i === 0 ? 'jobs.chainFirst' : 'jobs.chainRetry', { n: i })} {t('jobs.chainThis')}
                    </strong>
                  ) : (
                    <Link to={`/jobs/${x.id}`}>{t(i === 0 ? 'jobs.chainFirst' : 'jobs.chainRetry', { n: i })}</Link>
                  )}{' '}
                  <span className="dim">
                    <Time at={x.created_at} />
                  </span>
                </td>
                <td>
                  <Status value={x.status} />
                </td>
                <td>
                  <SummaryBar summary={x.summary} compact />
                </td>
                <td className="only-wide-cell dim">{x.created_by}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
