import { Button, Input, Select } from 'antd';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { RefreshCw, Search, Store } from 'lucide-react';
import { useDeferredValue, useState } from 'react';
import { api } from '../../api/endpoints';
import type { CatalogEntry, CatalogSource, Page } from '../../api/types';
import { Chip, Clip, Empty, Icon, Loading, Note, PageHead, ProblemNote, Time } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { AppIcon } from './AppIcon';
import { InstallDialog } from './InstallDialog';
import { UpgradeDialog } from './UpgradeDialog';
import { Signature } from './Signature';

const STATES = ['trusted', 'unknown_publisher', 'unsigned', 'modified'] as const;

export default function Catalog() {
  const { t, tl, maybe } = useI18n();
  const can = useCan();
  const [url, setUrl] = useUrl();
  const [installing, setInstalling] = useState<CatalogEntry | null>(null);
  const asked = { search: useDeferredValue(url.q), category: url.category, state: url.state };
  const catalog = useQuery({ queryKey: ['catalog', 'list', asked], queryFn: () => api.catalog.list(asked), placeholderData: keepPreviousData });
  const categories = useQuery({ queryKey: ['catalog', 'categories'], queryFn: api.catalog.categories });
  const narrowed = Boolean(url.q || url.category || url.state);
  const refresh = useAct<void, Page<CatalogSource>>({ run: api.catalog.refresh, done: t('catalog.refreshed'), stale: [['catalog']] });
  return (
    <div className="page">
      <PageHead
        title={t('nav.catalog')}
        sub={t('catalog.lead')}
        actions={
          can('plugins.manage') && (
            <Button icon={<Icon of={RefreshCw} />} loading={refresh.isPending} onClick={() => refresh.mutate()}>
              {t('catalog.refresh')}
            </Button>
          )
        }
      />
      <div className="row wrap" role="search" style={{ gap: 8 }}>
        <Input aria-label={t('list.search')} placeholder={t('list.search')} prefix={<Icon of={Search} />} allowClear style={{ width: 260, maxWidth: '100%' }} value={url.q ?? ''} onChange={(e) => setUrl({ q: e.target.value })} />
        <Select
          aria-label={t('catalog.categories')}
          placeholder={t('catalog.allCategories')}
          allowClear
          popupMatchSelectWidth={false}
          style={{ minWidth: 160 }}
          value={url.category}
          options={(categories.data?.items ?? []).map((c) => ({ value: c.name, label: `${maybe(`category.${c.name}`, c.name)} (${c.plugins})` }))}
          onChange={(category?: string) => setUrl({ category })}
        />
        <Select
          aria-label={t('catalog.signature')}
          placeholder={t('catalog.allSignatures')}
          allowClear
          popupMatchSelectWidth={false}
          style={{ minWidth: 160 }}
          value={url.state}
          options={STATES.map((s) => ({ value: s, label: t(`signature.${s}`) }))}
          onChange={(state?: string) => setUrl({ state })}
        />
      </div>
      <Sources />
      {catalog.error ? <ProblemNote error={catalog.error} retry={() => void catalog.refetch()} /> : null}
      {catalog.isPending && <Loading />}
      {catalog.data && catalog.data.items.length === 0 && (
        <section className="panel">
          {narrowed ? (
            <Empty icon={Store} title={t('list.noMatch')}>
              <Button onClick={() => setUrl({ q: undefined, category: undefined, state: undefined })}>{t('list.clear')}</Button>
            </Empty>
          ) : (
            <Empty icon={Store} title={t('catalog.empty')} text={t('catalog.emptyText')} />
          )}
        </section>
      )}
      <div className="cards" aria-busy={catalog.isPlaceholderData}>
        {catalog.data?.items.map((e) => (
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
                <div className="dim">{[e.publisher, e.version].filter(Boolean).join(' · ')}</div>
              </div>
              {e.installed && <Chip tone={e.upgrade ? 'info' : 'ok'}>{e.upgrade ? t('catalog.installedVersion', { version: e.installed }) : t('catalog.installed')}</Chip>}
            </div>
            <p className="grow">{tl(e.description)}</p>
            {e.categories.length > 0 && (
              <div className="row wrap" style={{ gap: 4 }}>
                {e.categories.map((c) => (
                  <Chip key={c}>{maybe(`category.${c}`, c)}</Chip>
                ))}
              </div>
            )}
            {e.problem && (
              <Note tone="warn">
                <span lang="en">{e.problem}</span>
              </Note>
            )}
            <div className="row between wrap">
              <Signature signature={e.signature} />
              <span className="row">
                {e.id && <Link to={`/catalog/${e.id}`}>{t('catalog.details')}</Link>}
                {can('plugins.manage') && e.id && (!e.installed || e.upgrade) && (
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

/** Catalogs that cannot be used, or not as they are now; silent when all is well. */
function Sources() {
  const { t } = useI18n();
  const sources = useQuery({ queryKey: ['catalog', 'sources'], queryFn: api.catalog.sources });
  return sources.data?.items
    .filter((s) => s.problem)
    .map((s) => (
      <Note key={s.source} tone="warn" title={t('catalog.sourceProblem', { name: s.name })}>
        <div lang="en">{s.problem}</div>
        {s.fetched_at && (
          <div className="dim">
            {t('catalog.sourceLast')} <Time at={s.fetched_at} both />
          </div>
        )}
      </Note>
    ));
}
