import { Button } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, Link } from '@tanstack/react-router';
import { Boxes } from 'lucide-react';
import { Chip, Clip, Empty, Loading, PageHead, ProblemNote, Status, Time } from '../../components/base';
import { api } from '../../api/endpoints';
import { useI18n } from '../../i18n';
import { usePlugins } from '../../layout/usePlugins';
import { AppIcon } from '../catalog/AppIcon';
import { Signature } from '../catalog/Signature';
import { compareVersions } from './usage';

export default function Apps() {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  const plugins = usePlugins();
  const catalog = useQuery({ queryKey: ['catalog', 'list'], queryFn: () => api.catalog.list() });
  const newer = (id: string, version: string) =>
    (catalog.data?.items ?? [])
      .filter((e) => e.id === id && e.problem === null && e.version !== null && compareVersions(e.version, version) > 0)
      .map((e) => e.version ?? '')
      .sort(compareVersions)
      .at(-1);
  return (
    <div className="page">
      <PageHead title={t('nav.apps')} sub={t('apps.lead')} actions={<Button onClick={() => void navigate({ to: '/catalog' })}>{t('nav.catalog')}</Button>} />
      {plugins.error ? <ProblemNote error={plugins.error} retry={() => void plugins.refetch()} /> : null}
      {plugins.isPending && <Loading />}
      {plugins.data && (
        <section className="panel" aria-label={t('nav.apps')}>
          {plugins.data.items.length === 0 ? (
            <Empty icon={Boxes} title={t('apps.empty')} text={t('apps.emptyText')}>
              <Link to="/catalog">{t('home.openCatalog')}</Link>
            </Empty>
          ) : (
            <div className="table-wrap">
              <table className="t stacked">
                <thead>
                  <tr>
                    <th scope="col">{t('apps.app')}</th>
                    <th scope="col">{t('field.status')}</th>
                    <th scope="col">{t('field.version')}</th>
                    <th scope="col">{t('catalog.publisher')}</th>
                    <th scope="col">{t('apps.signature')}</th>
                    <th scope="col">{t('apps.installedAt')}</th>
                  </tr>
                </thead>
                <tbody>
                  {plugins.data.items.map((p) => (
                    <tr key={p.id} className="go" onClick={(e) => !(e.target as HTMLElement).closest('a') && void navigate({ to: `/apps/${p.id}` })}>
                      <td className="first">
                        <span className="row">
                          <AppIcon url={p.icon_url} name={tl(p.name)} />
                          <Link to={`/apps/${p.id}`}>
                            <Clip>{tl(p.name)}</Clip>
                          </Link>
                        </span>
                      </td>
                      <td data-label={t('field.status')}>
                        <div className="cell">
                          <Status value={p.status} />
                          {p.status_reason && <div className="dim" style={{ overflowWrap: 'anywhere' }}>{p.status_reason}</div>}
                        </div>
                      </td>
                      <td data-label={t('field.version')}>
                        <span className="row wrap" style={{ gap: '2px 6px' }}>
                          {p.version}
                          {newer(p.id, p.version) && (
                            <Link to={`/apps/${p.id}/versions`}>
                              <Chip tone="info">{t('versions.available', { version: newer(p.id, p.version) ?? '' })}</Chip>
                            </Link>
                          )}
                        </span>
                      </td>
                      <td data-label={t('catalog.publisher')}>{p.publisher}</td>
                      <td data-label={t('apps.signature')}>
                        <Signature signature={p.signature} />
                      </td>
                      <td data-label={t('apps.installedAt')}>
                        <Time at={p.installed_at} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </section>
      )}
    </div>
  );
}
