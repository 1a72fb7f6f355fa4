import { Button, Input, Space } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { Check, RotateCcw, Undo2, X } from 'lucide-react';
import { useId, useState } from 'react';
import { changes, type ChangeItem, type ChangeRequest } from '../../api/changes';
import { api } from '../../api/endpoints';
import { Icon, Loading, Note, PageHead, Panel, ProblemNote, Time, Who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useSession } from '../../session';
import { differences } from '../cmdb/History';
import { plain } from '../cmdb/values';
import { ChangeStatus } from './parts';

/** One change request: what would become of the records, whose word it needs, its run, and where it stopped. */
export default function Change() {
  const { id = '' } = useParams({ strict: false }) as { id?: string };
  const { t } = useI18n();
  const session = useSession();
  const found = useQuery({
    queryKey: ['changes', 'one', id],
    queryFn: () => changes.get(id),
    refetchInterval: (q) => (q.state.data?.state === 'approved' || q.state.data?.state === 'running' ? 2000 : false),
  });
  const stale = [['changes'], ['cmdb']];
  const withdraw = useAct({ run: () => changes.withdraw(id), stale });
  const renew = useAct({ run: () => changes.renew(id), done: t('changes.sent'), stale });
  if (found.error) return <ProblemNote error={found.error} retry={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const c = found.data;
  const own = c.requested_by === session.name;
  return (
    <div className="page">
      <PageHead
        title={c.title}
        crumbs={[{ label: t('changes.title'), to: '/changes' }]}
        sub={
          <>
            <ChangeStatus state={c.state} />
            <span>
              <Who actor={c.requested_by} /> <Time at={c.created_at} />
            </span>
            <span className="faint mono">{c.id}</span>
          </>
        }
        actions={
          <>
            {own && c.state === 'conflict' && (
              <Button type="primary" icon={<Icon of={RotateCcw} />} loading={renew.isPending} onClick={() => renew.mutate()}>
                {t('changes.renew')}
              </Button>
            )}
            {own && (c.state === 'open' || c.state === 'conflict') && (
              <Button icon={<Icon of={Undo2} />} loading={withdraw.isPending} onClick={() => withdraw.mutate()}>
                {t('changes.withdraw')}
              </Button>
            )}
          </>
        }
      />
      {c.error && (
        <Note tone="bad" title={t(c.state === 'conflict' ? 'changes.conflictText' : 'changes.failedText')}>
          {c.error}
        </Note>
      )}
      {c.mine && <Decide change={c} />}
      {(c.reason || c.ticket || c.workflow) && (
        <Panel title={t('changes.reason')}>
          {c.reason && <p style={{ whiteSpace: 'pre-wrap' }}>{c.reason}</p>}
          {c.ticket && (
            <p>
              {t('changes.ticket')}: {c.ticket}
            </p>
          )}
          {c.workflow && (
            <p>
              {t('changes.workflow')}: <Link to={`/workflows/${c.workflow}`}>{c.workflow}</Link>
              {c.run && (
                <>
                  {' · '}
                  <Link to={`/runs/${c.run}`}>{t('changes.run')}</Link>
                </>
              )}
            </p>
          )}
        </Panel>
      )}
      <Panel title={t('changes.approvals')}>
        {c.needs.length === 0 && <p className="dim">{t('changes.noApproval')}</p>}
        <ul>
          {c.needs.map((n) => {
            const v = c.votes.find((x) => x.rule === n.rule);
            return (
              <li key={n.rule}>
                <strong>{n.rule}</strong>: {v ? t(v.approve ? 'changes.approvedBy' : 'changes.rejectedBy', { who: v.voter }) : t('changes.waitsFor', { who: n.approvers.join(', ') })}{' '}
                {v && <Time at={v.at} />} {v?.comment && <span>“{v.comment}”</span>}
              </li>
            );
          })}
        </ul>
      </Panel>
      {c.items.map((item, i) => (
        <ItemPanel key={item.id ?? i} item={item} record={item.id ?? c.records[i]} />
      ))}
    </div>
  );
}

function Decide({ change }: { change: ChangeRequest }) {
  const { t } = useI18n();
  const label = useId();
  const [comment, setComment] = useState('');
  const decide = useAct<boolean, ChangeRequest>({
    run: (approve) => changes.decide(change.id, { approve, hash: change.hash, ...(comment.trim() ? { comment: comment.trim() } : {}) }),
    done: t('changes.decided'),
    stale: [['changes'], ['cmdb']],
  });
  return (
    <Panel title={t('changes.mine')}>
      <label htmlFor={label}>{t('changes.comment')}</label>
      <Input.TextArea id={label} value={comment} maxLength={2000} autoSize={{ minRows: 1, maxRows: 6 }} onChange={(e) => setComment(e.target.value)} />
      <Space style={{ marginTop: 8 }} wrap>
        <Button type="primary" icon={<Icon of={Check} />} loading={decide.isPending} onClick={() => decide.mutate(true)}>
          {t('changes.approve')}
        </Button>
        <Button danger icon={<Icon of={X} />} loading={decide.isPending} onClick={() => decide.mutate(false)}>
          {t('changes.reject')}
        </Button>
      </Space>
    </Panel>
  );
}

function ItemPanel({ item, record }: { item: ChangeItem; record?: string }) {
  const { t, tl } = useI18n();
  const model = useQuery({ queryKey: ['cmdb', 'model', item.model], queryFn: () => api.cmdb.model(item.model) });
  const after = item.act === 'delete' ? null : { ...item.before, ...(item.attributes ?? {}) };
  const name = (a: string) => tl(model.data?.attributes.find((x) => x.name === a)?.title) || a;
  return (
    <Panel
      title={
        <>
          {t(`changeAct.${item.act}`)} {tl(model.data?.title) || item.model}: {record ? <Link to={`/cmdb/${item.model}/${record}`}>{item.label}</Link> : item.label}
        </>
      }
    >
      <table className="diff">
        <thead>
          <tr>
            <th scope="col">{t('cmdb.attribute')}</th>
            <th scope="col">{t('cmdb.before')}</th>
            <th scope="col">{t('cmdb.after')}</th>
          </tr>
        </thead>
        <tbody>
          {differences(item.before, after).map((d) => (
            <tr key={d.name}>
              <th scope="row">{name(d.name)}</th>
              <td className={plain(d.before) ? 'was' : undefined}>{plain(d.before)}</td>
              <td className={plain(d.after) ? 'is' : undefined}>{plain(d.after)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}
