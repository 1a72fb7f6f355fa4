import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { App, Button, Input, Modal } from 'antd';
import { Check, CircleCheckBig, Forward, X } from 'lucide-react';
import { useId, useState } from 'react';
import { api } from '../../api/endpoints';
import type { Approval, Json } from '../../api/types';
import { Chip, Clip, Empty, Icon, PageHead, ProblemNote, Status, Time, useProblemText } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { check, defaults, type FieldError } from '../../components/SchemaForm';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { JobsToApprove } from '../jobs/ApprovalNote';
import { useCan } from '../../session';
import { WaitingChanges } from '../changes/RequestsPanel';
import { asSchema, InputFields } from './StartDialog';
import { WorkflowTabs } from './tabs';

type Decision = 'approve' | 'reject';
const STATES = ['open', 'approved', 'rejected', 'expired', 'withdrawn'] as const;

/** What runs ask people: mine first; answered one by one or together. */
export default function Approvals() {
  const { t } = useI18n();
  const can = useCan();
  const [url] = useUrl();
  const [chosen, setChosen] = useState<Map<string, Approval>>(new Map());
  const [open, setOpen] = useState<{ approval: Approval; as: Decision | 'delegate' } | null>(null);
  const [many, setMany] = useState<Decision | null>(null);
  const able = [...chosen.values()].filter((a) => a.mine && (!a.form || many === 'reject'));
  const columns: ListColumn<Approval>[] = [
    {
      key: 'title',
      title: t('approvals.question'),
      text: (a) => a.title,
      render: (a) => (
        <>
          <Clip width={420}>{a.title}</Clip>
          {a.text && (
            <div className="dim">
              <Clip width={420}>{a.text}</Clip>
            </div>
          )}
        </>
      ),
    },
    {
      key: 'do',
      title: '',
      text: () => '',
      render: (a) =>
        a.mine ? (
          <span style={{ display: 'inline-flex', gap: 6, flexWrap: 'wrap' }}>
            <Button size="small" type="primary" icon={<Icon of={Check} />} onClick={() => setOpen({ approval: a, as: 'approve' })}>
              {t('approvals.approve')}
            </Button>
            <Button size="small" danger icon={<Icon of={X} />} onClick={() => setOpen({ approval: a, as: 'reject' })}>
              {t('approvals.reject')}
            </Button>
            <Button size="small" icon={<Icon of={Forward} />} onClick={() => setOpen({ approval: a, as: 'delegate' })}>
              {t('approvals.delegate')}
            </Button>
          </span>
        ) : null,
    },
    {
      key: 'status',
      title: t('field.status'),
      text: (a) => a.status,
      render: (a) => (
        <>
          <Status value={a.status} label={t(`status.${a.status}`)} still /> {a.escalated && <Chip tone="warn">{t('approvals.escalated')}</Chip>}
        </>
      ),
    },
    { key: 'due', title: t('approvals.due'), text: (a) => a.due_at ?? '', render: (a) => <Time at={a.due_at} /> },
    {
      key: 'who',
      title: t('approvals.who'),
      text: (a) => a.seats.map((s) => s.holder).join(' '),
      render: (a) => (
        <>
          <div>{a.mode === 'share' ? t('approvals.mode.share', { n: Math.round((a.share ?? 1) * 100) }) : t(`approvals.mode.${a.mode}`)}</div>
          <div className="dim">
            <Clip width={260}>{a.seats.map((s) => (s.decision ? `${s.voter ?? s.holder}: ${t(`approvals.${s.decision}`)}` : s.holder)).join(', ')}</Clip>
          </div>
        </>
      ),
    },
    { key: 'run', title: t('approvals.run'), text: (a) => a.workflow, render: (a) => <Link to={`/runs/${a.run}`}><Clip width={200}>{a.workflow}</Clip></Link> },
    { key: 'asked', title: t('approvals.asked'), text: (a) => a.created_at, render: (a) => <Time at={a.created_at} /> },
  ];
  return (
    <div className="page">
      <PageHead title={t('approvals.mine')} crumbs={[{ label: t('nav.workflows'), to: '/workflows' }]} />
      <WorkflowTabs />
      <JobsToApprove />
      {can('cmdb.read') && <WaitingChanges />}
      <ResourceList<Approval>
        id="approvals"
        label={t('approvals.mine')}
        queryKey={['approvals', 'list', url.scope ?? 'mine']}
        load={(q) => api.approvals.list({ limit: q.limit, cursor: q.cursor, status: q.status, scope: url.scope === 'all' ? 'all' : 'mine' })}
        columns={columns}
        rowKey={(a) => a.id}
        facets={[
          { param: 'scope', title: t('approvals.scope'), options: [{ value: 'all', label: t('approvals.all') }] },
          { param: 'status', title: t('field.status'), options: STATES.map((v) => ({ value: v, label: t(`status.${v}`) })) },
        ]}
        select={{
          chosen,
          onChange: setChosen,
          name: (a) => a.title,
          bar: (
            <>
              <Button icon={<Icon of={Check} />} onClick={() => setMany('approve')}>{t('approvals.approveN', { n: chosen.size })}</Button>
              <Button danger icon={<Icon of={X} />} onClick={() => setMany('reject')}>{t('approvals.rejectN', { n: chosen.size })}</Button>
            </>
          ),
        }}
        empty={<Empty icon={CircleCheckBig} title={t('approvals.none')} text={t('approvals.noneText')} />}
      />
      {open && open.as !== 'delegate' && <DecideDialog approval={open.approval} as={open.as} onClose={() => setOpen(null)} />}
      {open && open.as === 'delegate' && <DelegateDialog approval={open.approval} onClose={() => setOpen(null)} />}
      {many && (
        <ManyDialog
          all={chosen.size}
          approvals={able}
          as={many}
          onClose={(done) => {
            setMany(null);
            if (done) setChosen(new Map());
          }}
        />
      )}
    </div>
  );
}

function DecideDialog({ approval, as, onClose }: { approval: Approval; as: Decision; onClose: () => void }) {
  const { t } = useI18n();
  const label = useId();
  const schema = as === 'approve' ? asSchema(approval.form) : null;
  const [comment, setComment] = useState('');
  const [data, setData] = useState<Json | undefined>(() => defaults(schema ?? undefined) ?? {});
  const [errors, setErrors] = useState<FieldError[]>([]);
  const answer = useAct({
    run: () => api.approvals.decide(approval.id, { decision: as, ...(comment.trim() ? { comment: comment.trim() } : {}), ...(schema ? { data: data ?? {} } : {}) }),
    done: t('approvals.answered'),
    stale: [['approvals'], ['runs']],
    quiet: true,
    then: onClose,
  });
  return (
    <Modal
      open
      onCancel={onClose}
      title={approval.title}
      okText={t(`approvals.${as}`)}
      okButtonProps={{ danger: as === 'reject' }}
      confirmLoading={answer.isPending}
      width={schema ? 640 : 480}
      onOk={() => {
        const found = schema ? check(schema, data) : [];
        setErrors(found);
        if (found.length === 0) answer.mutate();
      }}
    >
      <div className="stack">
        {approval.text && <p style={{ whiteSpace: 'pre-wrap' }}>{approval.text}</p>}
        {schema && <InputFields schema={schema} value={data} onChange={setData} errors={errors} />}
        <div>
          <label htmlFor={label}>{t('approvals.comment')}</label>
          <Input.TextArea id={label} rows={3} maxLength={2000} value={comment} onChange={(e) => setComment(e.target.value)} />
        </div>
        <ProblemNote error={answer.error} />
      </div>
    </Modal>
  );
}

function DelegateDialog({ approval, onClose }: { approval: Approval; onClose: () => void }) {
  const { t } = useI18n();
  const [toId, whyId] = [useId(), useId()];
  const [to, setTo] = useState('');
  const [reason, setReason] = useState('');
  const hand = useAct({
    run: () => api.approvals.delegate(approval.id, { to: to.trim(), reason: reason.trim() }),
    done: t('approvals.handedOn'),
    stale: [['approvals']],
    quiet: true,
    then: onClose,
  });
  return (
    <Modal
      open
      onCancel={onClose}
      title={`${t('approvals.delegate')}: ${approval.title}`}
      okText={t('approvals.delegate')}
      okButtonProps={{ disabled: !to.trim() || !reason.trim() }}
      confirmLoading={hand.isPending}
      onOk={() => hand.mutate()}
    >
      <div className="stack">
        <p className="dim">{t('approvals.delegateText')}</p>
        <div>
          <label htmlFor={toId}>{t('approvals.delegateTo')}</label>
          <Input id={toId} autoFocus value={to} onChange={(e) => setTo(e.target.value)} />
        </div>
        <div>
          <label htmlFor={whyId}>{t('act.reason')}</label>
          <Input id={whyId} maxLength={500} value={reason} onChange={(e) => setReason(e.target.value)} />
        </div>
        <ProblemNote error={hand.error} />
      </div>
    </Modal>
  );
}

/** Several at once; each answer stands or fails by itself. */
function ManyDialog({ all, approvals, as, onClose }: { all: number; approvals: Approval[]; as: Decision; onClose: (done: boolean) => void }) {
  const { t } = useI18n();
  const label = useId();
  const { message } = App.useApp();
  const client = useQueryClient();
  const problem = useProblemText();
  const [comment, setComment] = useState('');
  const [busy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    const failures: string[] = [];
    for (const a of approvals) {
      try {
        await api.approvals.decide(a.id, { decision: as, ...(comment.trim() ? { comment: comment.trim() } : {}) });
      } catch (e) {
        failures.push(`${a.title}: ${problem(e).detail}`);
      }
    }
    setBusy(false);
    void client.invalidateQueries({ queryKey: ['approvals'] });
    if (failures.length > 0) void message.warning(t('approvals.someFailed', { n: approvals.length - failures.length, m: failures.length, why: failures[0] ?? '' }), 8);
    else void message.success(t('approvals.answered'));
    onClose(true);
  };
  return (
    <Modal
      open
      onCancel={() => onClose(false)}
      title={t(as === 'approve' ? 'approvals.approveN' : 'approvals.rejectN', { n: approvals.length })}
      okText={t(`approvals.${as}`)}
      okButtonProps={{ danger: as === 'reject', disabled: approvals.length === 0 }}
      confirmLoading={busy}
      onOk={() => void go()}
    >
      <div className="stack">
        {approvals.length < all && <p className="dim">{t('approvals.needForm')}</p>}
        <ul>
          {approvals.map((a) => (
            <li key={a.id}>{a.title}</li>
          ))}
        </ul>
        <div>
          <label htmlFor={label}>{t('approvals.comment')}</label>
          <Input.TextArea id={label} rows={3} maxLength={2000} value={comment} onChange={(e) => setComment(e.target.value)} />
        </div>
      </div>
    </Modal>
  );
}
