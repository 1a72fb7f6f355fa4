import { Button } from 'antd';
import { Link, useNavigate } from '@tanstack/react-router';
import { GitPullRequestArrow, PackagePlus } from 'lucide-react';
import { useState } from 'react';
import { CHANGE_STATES, changes, type ChangeRequest } from '../../api/changes';
import { Clip, Empty, Icon, PageHead, TabLine, Time, Who } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { ApplyDialog } from './ApplyDialog';
import { ChangeStatus } from './parts';

export function ChangeTabs() {
  const { t } = useI18n();
  return (
    <TabLine
      label={t('changes.title')}
      items={[
        { to: '/changes', label: t('changes.title'), exact: true },
        { to: '/changes/rules', label: t('changes.rules') },
      ]}
    />
  );
}

/** What somebody wants done to records. */
export default function Changes() {
  const { t } = useI18n();
  const can = useCan();
  const [url] = useUrl();
  const navigate = useNavigate();
  const [applying, setApplying] = useState(false);
  const columns: ListColumn<ChangeRequest>[] = [
    {
      key: 'title',
      title: t('changes.what'),
      text: (c) => c.title,
      render: (c) => (
        <Link to={`/changes/${c.id}`}>
          <Clip width={420}>{c.title}</Clip>
        </Link>
      ),
    },
    { key: 'state', title: t('field.status'), text: (c) => c.state, render: (c) => <ChangeStatus state={c.state} /> },
    {
      key: 'records',
      title: t('changes.records'),
      text: (c) => c.items.map((i) => i.label).join(', '),
      render: (c) => <Clip width={300}>{c.items.slice(0, 5).map((i) => `${t(`changeAct.${i.act}`)} ${i.label}`).join(', ') + (c.items.length > 5 ? ` +${c.items.length - 5}` : '')}</Clip>,
    },
    { key: 'by', title: t('changes.by'), text: (c) => c.requested_by, render: (c) => <Who actor={c.requested_by} /> },
    { key: 'ticket', title: t('changes.ticket'), text: (c) => c.ticket ?? '', render: (c) => <Clip width={160}>{c.ticket}</Clip>, extra: true },
    { key: 'updated', title: t('field.updated'), text: (c) => c.updated_at, render: (c) => <Time at={c.updated_at} /> },
  ];
  return (
    <div className="page">
      <PageHead
        title={t('changes.title')}
        sub={t('changes.lead')}
        actions={
          can('cmdb.write') && (
            <Button type="primary" icon={<Icon of={PackagePlus} />} onClick={() => setApplying(true)}>
              {t('changes.apply')}
            </Button>
          )
        }
      />
      <ChangeTabs />
      <ResourceList<ChangeRequest>
        id="changes"
        label={t('changes.title')}
        queryKey={['changes', 'list', url.scope ?? 'all']}
        load={(q) => changes.list({ limit: q.limit, cursor: q.cursor, state: typeof q.state === 'string' ? q.state : undefined, mine: url.scope === 'mine' ? 'true' : undefined })}
        columns={columns}
        rowKey={(c) => c.id}
        rowTo={(c) => `/changes/${c.id}`}
        facets={[
          { param: 'scope', title: t('changes.scope'), options: [{ value: 'mine', label: t('changes.mine') }] },
          { param: 'state', title: t('field.status'), options: CHANGE_STATES.map((v) => ({ value: v, label: t(`changeState.${v}`) })) },
        ]}
        empty={<Empty icon={GitPullRequestArrow} title={t('changes.none')} text={t('changes.noneText')} />}
      />
      {applying && <ApplyDialog onClose={() => setApplying(false)} onDone={(c) => void navigate({ to: `/changes/${c.id}` })} />}
    </div>
  );
}
