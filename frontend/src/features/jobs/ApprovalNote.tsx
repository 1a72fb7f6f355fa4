/** An execution that another person has to approve: what it waits for, and the answer. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Button, Input, Modal } from 'antd';
import { Check, X } from 'lucide-react';
import { useId, useState } from 'react';
import type { Execution } from '../../api/types';
import { Icon, Note, ProblemNote, Time } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan, useSession } from '../../session';
import { FindingList } from './Findings';
import { safetyApi } from './safety';

export function ApprovalNote({ execution: e }: { execution: Execution }) {
  const { t } = useI18n();
  const can = useCan();
  const session = useSession();
  const [as, setAs] = useState<'approve' | 'refuse' | null>(null);
  const a = e.approval;
  if (!a && e.findings.length === 0) return null;
  const waits = e.status === 'waiting_approval';
  const own = a?.asker === session.id;
  const role = a ? t(a.approver === 'administrator' ? 'safety.administrator' : 'safety.operator') : '';
  return (
    <>
      {a && (
        <Note
          tone={waits ? 'warn' : a.decision === 'approved' ? 'ok' : 'info'}
          title={waits ? t('safety.waits') : t(`safety.decided.${a.decision ?? 'expired'}`, { who: a.decided_by ?? '' })}
        >
          <div className="stack tight">
            {waits ? (
              <div>
                {t('safety.since')} <Time at={a.since} /> · {t('safety.until')} <Time at={a.until} /> · {t('safety.by', { role })}
              </div>
            ) : (
              a.decided_at && <Time at={a.decided_at} />
            )}
            {a.note && <div style={{ whiteSpace: 'pre-wrap' }}>{a.note}</div>}
            <div className="faint mono" title={t('safety.digestText')} style={{ overflowWrap: 'anywhere' }}>
              SHA-256 {a.digest}
            </div>
            {waits && own && <div className="dim">{t('safety.own')}</div>}
            {waits && !own && can('jobs.run') && (
              <div className="row wrap">
                <Button type="primary" icon={<Icon of={Check} />} onClick={() => setAs('approve')}>
                  {t('safety.approve')}
                </Button>
                <Button danger icon={<Icon of={X} />} onClick={() => setAs('refuse')}>
                  {t('safety.refuse')}
                </Button>
              </div>
            )}
          </div>
        </Note>
      )}
      {e.findings.length > 0 && (
        <Note tone={e.findings[0]?.level === 'warn' ? 'info' : 'warn'} title={t('safety.foundTitle', { n: e.findings.length })}>
          <FindingList findings={e.findings} />
        </Note>
      )}
      {as && <DecideDialog execution={e} as={as} onClose={() => setAs(null)} />}
    </>
  );
}

function DecideDialog({ execution: e, as, onClose }: { execution: Execution; as: 'approve' | 'refuse'; onClose: () => void }) {
  const { t } = useI18n();
  const label = useId();
  const [note, setNote] = useState('');
  const answer = useAct({
    run: () => (as === 'approve' ? safetyApi.approve(e.id, e.approval?.digest ?? '', note.trim()) : safetyApi.refuse(e.id, note.trim())),
    done: t(as === 'approve' ? 'safety.approved' : 'safety.refused'),
    stale: [['jobs'], ['home']],
    quiet: true,
    then: onClose,
  });
  return (
    <Modal
      open
      onCancel={onClose}
      title={t(as === 'approve' ? 'safety.approveTitle' : 'safety.refuseTitle', { name: e.name, n: e.summary.total })}
      okText={t(as === 'approve' ? 'safety.approve' : 'safety.refuse')}
      okButtonProps={{ danger: as === 'refuse' }}
      confirmLoading={answer.isPending}
      onOk={() => answer.mutate()}
    >
      <div className="stack">
        <p>{t(as === 'approve' ? 'safety.approveText' : 'safety.refuseText')}</p>
        <div>
          <label htmlFor={label}>{t('safety.note')}</label>
          <Input.TextArea id={label} rows={3} maxLength={2000} value={note} onChange={(x) => setNote(x.target.value)} />
        </div>
        <ProblemNote error={answer.error} />
      </div>
    </Modal>
  );
}

/** Where people look for what waits for them: how many jobs they could approve. */
export function JobsToApprove() {
  const { t } = useI18n();
  const can = useCan();
  const found = useQuery({ queryKey: ['jobs', 'to-approve'], queryFn: () => safetyApi.waiting(true), enabled: can('jobs.run'), retry: false });
  const n = found.data?.total ?? 0;
  if (n === 0) return null;
  return (
    <Note tone="warn" title={t('safety.toApprove', { n })}>
      <Link to="/jobs/approvals">{t('safety.toApproveLink')}</Link>
    </Note>
  );
}
