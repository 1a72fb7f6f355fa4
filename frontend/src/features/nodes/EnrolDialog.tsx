import { Button, Modal, Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { NewEnrolmentToken } from '../../api/types';
import { CopyBox, Note, ProblemNote, Time } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';

/** Makes a one-time command and waits until the machine that ran it appears. */
export function EnrolDialog({ onClose }: { onClose: () => void }) {
  const { t } = useI18n();
  const [ttl, setTtl] = useState(3600);
  const [made, setMade] = useState<NewEnrolmentToken | null>(null);
  const create = useAct<void, NewEnrolmentToken>({ run: () => api.nodes.enrol({ ttl_s: ttl }), quiet: true, then: setMade });
  // Node events make this stale, so it answers as soon as the agent has enrolled.
  const tokens = useQuery({ queryKey: ['nodes', 'enrolments'], queryFn: api.nodes.enrolments, enabled: Boolean(made), refetchInterval: made ? 5_000 : false });
  const nodeId = tokens.data?.items.find((x) => x.id === made?.id)?.node_id;
  const node = useQuery({ queryKey: ['nodes', 'one', nodeId], queryFn: () => api.nodes.get(nodeId ?? ''), enabled: Boolean(nodeId) });
  return (
    <Modal open onCancel={onClose} title={t('nodes.enrol')} width={640} footer={made ? <Button onClick={onClose}>{t('action.close')}</Button> : null} mask={{ closable: false }}>
      {!made ? (
        <div className="stack">
          <p>{t('nodes.enrolText')}</p>
          <label className="row">
            <span>{t('nodes.enrolValid')}</span>
            <Select
              aria-label={t('nodes.enrolValid')}
              value={ttl}
              onChange={setTtl}
              options={[
                { value: 900, label: t('nodes.minutes', { n: 15 }) },
                { value: 3600, label: t('nodes.hours', { n: 1 }) },
                { value: 86_400, label: t('nodes.hours', { n: 24 }) },
                { value: 604_800, label: t('nodes.days', { n: 7 }) },
              ]}
            />
          </label>
          <ProblemNote error={create.error} />
          <div>
            <Button type="primary" loading={create.isPending} onClick={() => create.mutate()}>
              {t('nodes.makeCommand')}
            </Button>
          </div>
        </div>
      ) : (
        <div className="stack">
          <p>{t('nodes.runThis')}</p>
          <CopyBox text={made.command} label={t('nodes.command')} />
          <p className="dim">
            {t('nodes.onceOnly')} {t('nodes.expires')} <Time at={made.expires_at} both />
          </p>
          {node.data ? (
            <Note tone="ok" title={t('nodes.arrived', { name: node.data.name })}>
              {node.data.host_instance_id ? (
                <Link to={`/cmdb/host/${node.data.host_instance_id}`} onClick={onClose}>
                  {t('nodes.see')}
                </Link>
              ) : (
                t('nodes.looking')
              )}
            </Note>
          ) : (
            <div className="loading" role="status" style={{ justifyContent: 'flex-start', padding: 0 }}>
              {t('nodes.waiting')}
            </div>
          )}
        </div>
      )}
    </Modal>
  );
}
