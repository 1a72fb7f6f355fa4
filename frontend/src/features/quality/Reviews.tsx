import { Button, Drawer, Form, Input, Select } from 'antd';
import { useQueries, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Inbox } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import { quality, type Review, type Verdict } from '../../api/quality';
import type { Instance } from '../../api/types';
import { Clip, Empty, Loading, Note, PageHead, ProblemNote, Status, Time, Who } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n, type Key } from '../../i18n';
import { useCan } from '../../session';
import { ReferenceInput } from '../cmdb/InstanceForm';
import { AttributeValue, plain } from '../cmdb/values';
import { SourceTabs, sourceName } from './parts';

const STATES = ['open', 'accepted', 'merged', 'rejected'] as const;
const stateKey = (s: string) => `reviews.state.${s}` as Key;

export default function Reviews() {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const [open, setOpen] = useState<Review | null>(null);
  const state = url.state ?? 'open';
  const columns: ListColumn<Review>[] = [
    {
      key: 'what',
      title: t('reviews.record'),
      text: (r) => title(r),
      render: (r) => (
        <button type="button" className="icon-btn" style={{ padding: 0, height: 'auto', color: 'var(--p-accent)' }} onClick={() => setOpen(r)}>
          {title(r)}
        </button>
      ),
    },
    { key: 'model', title: t('cmdb.model'), text: (r) => r.model, render: (r) => <Clip mono>{r.model}</Clip> },
    { key: 'source', title: t('sources.source'), text: (r) => r.source, render: (r) => sourceName(r.source, t) },
    { key: 'reason', title: t('reviews.why'), text: (r) => r.reason, render: (r) => <Clip width={320}>{t(`reviews.reason.${r.reason}`, { n: r.candidates.length })}</Clip> },
    { key: 'state', title: t('reviews.state'), text: (r) => r.state, render: (r) => <Status value={r.state === 'open' ? 'waiting' : r.state === 'rejected' ? 'rejected' : 'succeeded'} label={t(stateKey(r.state))} still /> },
    { key: 'at', title: t('field.updated'), text: (r) => r.updated_at, render: (r) => <Time at={r.updated_at} /> },
    { key: 'by', title: t('reviews.by'), text: (r) => r.decided_by ?? '', render: (r) => r.decided_by && <Who actor={r.decided_by} /> },
  ];
  return (
    <div className="page">
      <PageHead title={t('reviews.title')} sub={t('reviews.lead')} crumbs={[{ label: t('sources.title'), to: '/sources' }]} />
      <SourceTabs />
      <div className="row">
        <Select aria-label={t('reviews.state')} value={state} style={{ width: 180 }} options={STATES.map((s) => ({ value: s, label: t(stateKey(s)) }))} onChange={(v) => setUrl({ state: v === 'open' ? undefined : v, cursor: undefined }, true)} />
      </div>
      <ResourceList<Review>
        id="reviews"
        label={t('reviews.title')}
        queryKey={['reviews', state]}
        load={(q) => quality.reviews({ state, cursor: q.cursor, limit: q.limit }).then((p) => ({ ...p, total: state === 'open' ? p.total : null }))}
        columns={columns}
        rowKey={(r) => r.id}
        empty={<Empty icon={Inbox} title={t('reviews.empty')} text={t('reviews.emptyText')} />}
      />
      <Drawer open={open !== null} onClose={() => setOpen(null)} size={Math.min(720, window.innerWidth)} title={open ? title(open) : ''} destroyOnHidden>
        {open && <ReviewView review={open} onDone={() => setOpen(null)} />}
      </Drawer>
    </div>
  );
}

function title(r: Review): string {
  for (const k of ['hostname', 'name', 'serial']) {
    const v = plain(r.attributes[k]);
    if (v) return v;
  }
  return r.external_id ?? r.id;
}

function ReviewView({ review: r, onDone }: { review: Review; onDone: () => void }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const [record, setRecord] = useState<string | undefined>(r.candidates[0]);
  const [note, setNote] = useState('');
  const model = useQuery({ queryKey: ['cmdb', 'model', r.model], queryFn: () => api.cmdb.model(r.model) });
  const candidates = useQueries({ queries: r.candidates.map((id) => ({ queryKey: ['cmdb', 'instance', r.model, id], queryFn: () => api.cmdb.instance(r.model, id), retry: false })) });
  const decide = useAct<Omit<Verdict, 'note'>>({
    run: (v) => quality.decide(r.id, { ...v, ...(note.trim() ? { note: note.trim() } : {}) }),
    done: t('reviews.done'),
    stale: [['reviews'], ['cmdb'], ['sources']],
    then: onDone,
  });
  if (model.error) return <ProblemNote error={model.error} />;
  if (!model.data) return <Loading />;
  const records = candidates.map((c) => c.data).filter((c): c is Instance => c !== undefined);
  const attributes = model.data.attributes.filter((a) => a.name in r.attributes);
  return (
    <div className="stack">
      <Note tone="info">
        {sourceName(r.source, t)}
        {r.external_id && <span className="mono"> {r.external_id}</span>}: {t(`reviews.reason.${r.reason}`, { n: r.candidates.length })}
      </Note>
      <div style={{ overflowX: 'auto' }}>
        <table className="diff">
          <thead>
            <tr>
              <th scope="col">{t('cmdb.attribute')}</th>
              <th scope="col">{sourceName(r.source, t)}</th>
              {records.map((c) => (
                <th key={c.id} scope="col">
                  <Link to={`/cmdb/${r.model}/${c.id}`}>{c.label}</Link>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {attributes.map((a) => (
              <tr key={a.name}>
                <th scope="row">{tl(a.title) || a.name}</th>
                <td>
                  <AttributeValue attribute={a} value={r.attributes[a.name]} compact />
                </td>
                {records.map((c) => (
                  <td key={c.id} className={plain(c.attributes[a.name]) === plain(r.attributes[a.name]) ? undefined : 'was'}>
                    <AttributeValue attribute={a} value={c.attributes[a.name]} compact />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {r.state === 'open' ? (
        can('cmdb.write') && (
          <Form layout="vertical">
            <Form.Item label={t('reviews.note')}>
              <Input.TextArea aria-label={t('reviews.note')} value={note} maxLength={2000} autoSize={{ minRows: 2, maxRows: 6 }} onChange={(e) => setNote(e.target.value)} />
            </Form.Item>
            <Form.Item label={t('reviews.mergeInto')}>
              {records.length > 0 ? (
                <Select aria-label={t('reviews.mergeInto')} value={record} onChange={setRecord} options={records.map((c) => ({ value: c.id, label: `${c.label} · ${c.id}` }))} />
              ) : (
                <ReferenceInput model={r.model} value={record} onChange={setRecord} />
              )}
            </Form.Item>
            <div className="row wrap">
              <Button type={r.candidates.length > 0 ? 'primary' : 'default'} disabled={!record} loading={decide.isPending} onClick={() => decide.mutate({ decision: 'merge', record })}>
                {t('reviews.merge')}
              </Button>
              <Button type={r.candidates.length > 0 ? 'default' : 'primary'} loading={decide.isPending} onClick={() => decide.mutate({ decision: 'accept' })}>
                {t('reviews.accept')}
              </Button>
              <Button danger loading={decide.isPending} onClick={() => decide.mutate({ decision: 'reject' })}>
                {t('reviews.reject')}
              </Button>
            </div>
          </Form>
        )
      ) : (
        <>
          <p>
            {t(stateKey(r.state))}: {r.decided_by && <Who actor={r.decided_by} />} <Time at={r.updated_at} both /> {r.note && <>· “{r.note}”</>}
          </p>
          {r.record && <Link to={`/cmdb/${r.model}/${r.record}`}>{t('reviews.openRecord')}</Link>}
          {r.state === 'rejected' && can('cmdb.write') && (
            <div>
              <Button loading={decide.isPending} onClick={() => decide.mutate({ decision: 'reopen' })}>
                {t('reviews.reopen')}
              </Button>
            </div>
          )}
        </>
      )}
    </div>
  );
}
