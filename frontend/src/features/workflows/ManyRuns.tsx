/** One verb for several runs, with one reason. Each stands or falls by itself. */
import { useQueryClient } from '@tanstack/react-query';
import { App, Input, Modal } from 'antd';
import { useId, useState } from 'react';
import { api } from '../../api/endpoints';
import type { Run } from '../../api/types';
import { useProblemText } from '../../components/base';
import { useI18n } from '../../i18n';

export type ManyAct = 'pause' | 'resume' | 'cancel' | 'retry';

/** Whether the verb means something for the run as it stands in the list. */
export const fits = (run: Run, act: ManyAct): boolean => (act === 'retry' ? run.status === 'failed' : run.acts.includes(act));

/** What failed last in a run, and can be tried again. */
async function retryFailed(run: string, reason: string) {
  const { tasks } = await api.runs.get(run);
  const failed = [...tasks].reverse().find((t) => t.status === 'failed' && t.acts.includes('retry'));
  if (!failed) throw new Error('nothing in it can be tried again');
  return api.runs.taskAct(run, failed.id, 'retry', { reason });
}

export function ManyRuns({ runs, act, onClose }: { runs: Run[]; act: ManyAct; onClose: (done: boolean) => void }) {
  const { t } = useI18n();
  const label = useId();
  const { message } = App.useApp();
  const client = useQueryClient();
  const problem = useProblemText();
  const [reason, setReason] = useState('');
  const [at, setAt] = useState<number | null>(null);
  const able = runs.filter((r) => fits(r, act));
  const name = t(act === 'cancel' ? 'workflows.cancel' : `act.${act}`);
  const go = async () => {
    const failures: string[] = [];
    for (const [i, r] of able.entries()) {
      setAt(i);
      try {
        await (act === 'retry' ? retryFailed(r.id, reason.trim()) : api.runs.act(r.id, act, { reason: reason.trim() }));
      } catch (e) {
        failures.push(`${r.workflow}: ${problem(e).detail}`);
      }
    }
    setAt(null);
    void client.invalidateQueries({ queryKey: ['runs'] });
    if (failures.length > 0) void message.warning(t('runs.someFailed', { n: able.length - failures.length, m: failures.length, why: failures[0] ?? '' }), 8);
    else void message.success(t('act.done'));
    onClose(true);
  };
  return (
    <Modal
      open
      onCancel={() => onClose(false)}
      title={t('runs.many', { act: name, n: able.length })}
      okText={name}
      okButtonProps={{ danger: act === 'cancel', disabled: reason.trim() === '' || able.length === 0 }}
      confirmLoading={at !== null}
      onOk={() => void go()}
    >
      <div className="stack">
        {able.length < runs.length && <p className="dim">{t('runs.leftOut', { n: runs.length - able.length })}</p>}
        <ul style={{ maxHeight: 180, overflow: 'auto' }}>
          {able.map((r) => (
            <li key={r.id} className="row between">
              <span className="clip">{r.workflow}</span> <code className="faint">{r.id.slice(0, 13)}</code>
            </li>
          ))}
        </ul>
        <div>
          <label htmlFor={label}>{t('act.reason')}</label>
          <Input id={label} autoFocus maxLength={500} value={reason} onChange={(e) => setReason(e.target.value)} />
        </div>
        {at !== null && <p role="status">{t('list.shownOf', { n: at + 1, total: able.length })}</p>}
      </div>
    </Modal>
  );
}
