/** Jobs that wait for another person's approval. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Switch } from 'antd';
import { CircleCheckBig } from 'lucide-react';
import { Clip, Empty, Loading, PageHead, Panel, ProblemNote, Time, Who } from '../../components/base';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { safetyApi } from './safety';
import { JobTabs } from './tabs';

export default function ToApprove() {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const mine = url.scope !== 'all';
  const found = useQuery({ queryKey: ['jobs', 'waiting', mine], queryFn: () => safetyApi.waiting(mine) });
  return (
    <div className="page">
      <PageHead
        title={t('safety.tab')}
        crumbs={[{ label: t('nav.jobs'), to: '/jobs' }]}
        sub={t('safety.tabLead')}
        actions={
          <label className="row">
            <Switch checked={mine} onChange={(on) => setUrl({ scope: on ? undefined : 'all' })} aria-label={t('safety.mineOnly')} /> {t('safety.mineOnly')}
          </label>
        }
      />
      <JobTabs />
      {found.error ? <ProblemNote error={found.error} retry={() => void found.refetch()} /> : null}
      {found.isPending && <Loading />}
      {found.data && (
        <Panel flush>
          {found.data.items.length === 0 ? (
            <Empty icon={CircleCheckBig} title={t('safety.none')} text={t('safety.noneText')} />
          ) : (
            <div className="table-wrap" tabIndex={0} role="region" aria-label={t('safety.tab')}>
              <table className="t">
                <thead>
                  <tr>
                    <th scope="col">{t('jobs.name')}</th>
                    <th scope="col">{t('safety.findings')}</th>
                    <th scope="col" className="num">{t('jobs.targets')}</th>
                    <th scope="col">{t('safety.asked')}</th>
                    <th scope="col">{t('safety.until')}</th>
                  </tr>
                </thead>
                <tbody>
                  {found.data.items.map((e) => (
                    <tr key={e.id}>
                      <td>
                        <Link to={`/jobs/${e.id}`}>
                          <Clip width={320}>{e.name}</Clip>
                        </Link>
                      </td>
                      <td style={{ whiteSpace: 'normal' }}>{[...new Set(e.findings.filter((f) => f.level === 'approve').map((f) => f.title))].join(', ')}</td>
                      <td className="num">{e.summary.total}</td>
                      <td>
                        <Time at={e.created_at} /> <Who actor={e.created_by} />
                      </td>
                      <td>{e.approval && <Time at={e.approval.until} />}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Panel>
      )}
    </div>
  );
}
