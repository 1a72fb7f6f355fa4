import { Button, Input } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Search, Store } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { CatalogEntry } from '../../api/types';
import { Chip, Clip, Empty, Icon, Loading, Note, PageHead, ProblemNote } from '../../components/base';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { compareVersions } from '../apps/usage';
import { AppIcon } from './AppIcon';
import { InstallDialog } from './InstallDialog';
import { UpgradeDialog } from './UpgradeDialog';
import { Signature } from './Signature';

export default function Catalog() {
  const { t, tl } = useI18n();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const [installing, setInstalling] = useState<CatalogEntry | null>(null);
  const catalog = useQuery({ queryKey: ['catalog', 'list'], queryFn: api.catalog.list });
  const q = (url.q ?? '').toLowerCase();
  const shown = (catalog.data?.items ?? []).filter((e) => !q || `${e.id} ${tl(e.name)} ${tl(e.description)} ${e.publisher}`.toLowerCase().includes(q));
  return (
    <div className="page">
      <PageHead
        title={t('nav.catalog')}
        sub={t('catalog.lead')}
        actions={<Input aria-label={t('list.search')} placeholder={t('list.search')} prefix={<Icon of={Search} />} allowClear style={{ width: 220 }} value={url.q ?? ''} onChange={(e) => setUrl({ q: e.target.value })} />}
      />
      {catalog.error ? <ProblemNote error={catalog.error} retry={() => void catalog.refetch()} /> : null}
      {catalog.isPending && <Loading />}
      {catalog.data && catalog.data.items.length === 0 && (
        <section className="panel">
          <Empty icon={Store} title={t('catalog.empty')} text={t('catalog.emptyText')} />
        </section>
      )}
      {catalog.data && catalog.data.items.length > 0 && shown.length === 0 && <Empty icon={Store} title={t('list.noMatch')} />}
      <div className="cards">
        {shown.map((e) => (
          <article key={e.digest + e.file} className="panel app-card">
            <div className="row" style={{ gap: 12, alignItems: 'flex-start' }}>
              <AppIcon url={e.icon_url} name={tl(e.name)} />
              <div className="grow">
                <h2 style={{ fontSize: 14, fontWeight: 620 }}>
                  {e.id ? (
                    <Link to={`/catalog/${e.id}`}>
                      <Clip>{tl(e.name)}</Clip>
                    </Link>
                  ) : (
                    <Clip>{e.file}</Clip>
                  )}
                </h2>
                <div className="dim">
                  {[e.publisher, e.version].filter(Boolean).join(' · ')}
                </div>
              </div>
              {e.installed && <Chip tone={e.installed === e.version ? 'ok' : 'info'}>{e.installed === e.version ? t('catalog.installed') : t('catalog.installedVersion', { version: e.installed })}</Chip>}
            </div>
            <p className="grow">{tl(e.description)}</p>
            {e.problem && <Note tone="warn">{e.problem}</Note>}
            <div className="row between wrap">
              <Signature signature={e.signature} />
              <span className="row">
                {e.id && <Link to={`/catalog/${e.id}`}>{t('catalog.details')}</Link>}
                {can('plugins.manage') && e.id && (!e.installed || compareVersions(e.version ?? '', e.installed) > 0) && (
                  <Button type="primary" size="small" disabled={e.problem !== null} onClick={() => setInstalling(e)}>
                    {e.installed ? t('versions.upgrade') : t('catalog.install')}
                  </Button>
                )}
              </span>
            </div>
          </article>
        ))}
      </div>
      {installing && !installing.installed && <InstallDialog entry={installing} onClose={() => setInstalling(null)} />}
      {installing?.installed && <UpgradeDialog id={installing.id ?? ''} name={tl(installing.name)} icon={installing.icon_url} version={installing.version ?? ''} onClose={() => setInstalling(null)} />}
    </div>
  );
}
