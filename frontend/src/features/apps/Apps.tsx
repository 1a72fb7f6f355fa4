import { Button } from 'antd';
import { useNavigate, Link } from '@tanstack/react-router';
import { Boxes } from 'lucide-react';
import { Clip, Empty, Loading, PageHead, ProblemNote, Status, Time } from '../../components/base';
import { useI18n } from '../../i18n';
import { usePlugins } from '../../layout/usePlugins';
import { AppIcon } from '../catalog/AppIcon';
import { Signature } from '../catalog/Signature';

export default function Apps() {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  const plugins = usePlugins();
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
                        <Status value={p.status} />
                        {p.status_reason && <div className="dim">{p.status_reason}</div>}
                      </td>
                      <td data-label={t('field.version')}>{p.version}</td>
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
