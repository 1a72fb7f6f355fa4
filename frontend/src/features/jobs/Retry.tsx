import { Checkbox, Input, Modal } from 'antd';
import { useNavigate } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import { Problem } from '../../api/client';
import { api } from '../../api/endpoints';
import type { Execution, RetryRequest, TargetStatus } from '../../api/types';
import { ProblemNote } from '../../components/base';
import { uuid } from '../../components/id';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';

const CHOICES: TargetStatus[] = ['failed', 'timed_out', 'lost', 'rejected', 'cancelled', 'succeeded'];

/** The same script again on some of the targets: by how they ended, or those that were chosen. */
export function RetryDialog({ execution: e, nodes, onClose }: { execution: Execution; nodes?: { id: string; name: string; env: string[] }[]; onClose: () => void }) {
  const { t } = useI18n();
  const navigate = useNavigate();
  const there = CHOICES.filter((s) => e.summary[s] > 0);
  const [statuses, setStatuses] = useState<TargetStatus[]>(there.filter((s) => s !== 'succeeded'));
  const names = [...new Set([...e.env, ...(nodes ?? []).flatMap((n) => n.env)])];
  const [env, setEnv] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState<unknown>(null);
  const key = useRef(uuid());
  const retry = useAct<RetryRequest, Execution>({
    run: (b) => api.jobs.retry(e.id, b),
    stale: [['jobs']],
    quiet: true,
    then: (x) => {
      onClose();
      void navigate({ to: `/jobs/${x.id}` });
    },
  });
  const total = nodes ? nodes.length : statuses.reduce((n, s) => n + e.summary[s], 0);
  const submit = () => {
    setProblem(null);
    const values = Object.fromEntries(names.map((n) => [n, env[n] ?? '']));
    retry.mutate(
      { ...(nodes ? { nodes: nodes.map((n) => n.id) } : { statuses }), env: values, key: key.current },
      {
        onError: (x) => {
          if (x instanceof Problem && x.status >= 400 && x.status < 500) key.current = uuid();
          setProblem(x);
        },
      },
    );
  };
  return (
    <Modal
      open
      title={t('jobs.retryTitle')}
      okText={t('jobs.runOn', { n: total })}
      okButtonProps={{ disabled: total === 0, loading: retry.isPending }}
      onOk={submit}
      onCancel={onClose}
      cancelText={t('action.cancel')}
    >
      <div className="stack">
        <p className="dim">{t('jobs.retryText')}</p>
        {nodes ? (
          <ul style={{ maxHeight: 160, overflow: 'auto' }}>
            {nodes.slice(0, 50).map((n) => (
              <li key={n.id}>{n.name}</li>
            ))}
            {nodes.length > 50 && <li className="dim">{t('jobs.andMore', { n: nodes.length - 50 })}</li>}
          </ul>
        ) : (
          <Checkbox.Group
            value={statuses}
            onChange={(v) => setStatuses(v as TargetStatus[])}
            options={there.map((s) => ({ value: s, label: `${t(`status.${s}`)} (${e.summary[s]})` }))}
            style={{ flexDirection: 'column', gap: 4 }}
          />
        )}
        {names.length > 0 && (
          <fieldset>
            <legend>{t('jobs.env')}</legend>
            <p className="dim" style={{ marginBottom: 6 }}>
              {t('jobs.envAgain')}
            </p>
            {names.map((n) => (
              <label key={n} className="row" style={{ marginBottom: 6 }}>
                <code style={{ minWidth: 120 }}>{n}</code>
                <Input value={env[n] ?? ''} onChange={(x) => setEnv({ ...env, [n]: x.target.value })} autoComplete="off" />
              </label>
            ))}
          </fieldset>
        )}
        {problem ? <ProblemNote error={problem} /> : null}
      </div>
    </Modal>
  );
}
