import { Button } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { Boxes } from 'lucide-react';
import { lazy, Suspense, useEffect } from 'react';
import { api } from '../../api/endpoints';
import { Empty, Loading, ProblemNote } from '../../components/base';
import { useI18n } from '../../i18n';
import { FramedPage } from './FramedPage';

const DeclaredPage = lazy(() => import('./DeclaredPage'));

/** A page of an installed app: `/app/<plugin>/<page>/<its own path>`. */
export default function PluginPage() {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  const { id = '', page: pageId = '', _splat: path = '' } = useParams({ strict: false }) as { id?: string; page?: string; _splat?: string };
  const plugin = useQuery({ queryKey: ['plugins', 'one', id], queryFn: () => api.plugins.get(id) });
  const page = plugin.data?.pages.find((p) => p.id === pageId) ?? (pageId === '' ? plugin.data?.pages[0] : undefined);
  useEffect(() => {
    if (plugin.data && page) document.title = `${tl(page.title) || tl(plugin.data.name)} · Plenum`;
  }, [page, plugin.data, tl]);
  if (plugin.error) return <div style={{ padding: 16 }}><ProblemNote error={plugin.error} retry={() => void plugin.refetch()} /></div>;
  if (!plugin.data) return <Loading />;
  const p = plugin.data;
  if (!page) {
    return (
      <Empty icon={Boxes} title={t('plugin.noPage', { name: tl(p.name) })}>
        <Link to={`/apps/${p.id}`}>{t('plugin.about')}</Link>
      </Empty>
    );
  }
  if (p.status === 'compiling') return <Empty icon={Boxes} title={t('plugin.preparing', { name: tl(p.name) })} text={p.status_reason ?? t('plugin.preparingText')} />;
  if (p.status !== 'active') {
    return (
      <Empty icon={Boxes} title={p.status === 'disabled' ? t('plugin.disabled', { name: tl(p.name) }) : t('plugin.failed', { name: tl(p.name) })} text={p.status_reason}>
        <Button onClick={() => void navigate({ to: `/apps/${p.id}` })}>{t('plugin.about')}</Button>
      </Empty>
    );
  }
  if (page.kind === 'declared') {
    return (
      <div style={{ height: '100%', overflow: 'auto', padding: '16px 20px 40px' }}>
        <Suspense fallback={<Loading />}>
          <DeclaredPage key={page.url} plugin={p} page={page} path={path} />
        </Suspense>
      </div>
    );
  }
  return (
    <FramedPage
      key={`${p.id}/${page.id}`}
      plugin={p}
      page={page}
      path={path}
      onPath={(next, replace) => void navigate({ to: `/app/${p.id}/${page.id}${next ? `/${next.split('/').map(encodeURIComponent).join('/')}` : ''}`, replace })}
    />
  );
}
