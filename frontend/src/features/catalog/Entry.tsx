import { Button, Modal } from 'antd';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { CatalogEntry } from '../../api/types';
import { Chip, Loading, Note, PageHead, Panel, ProblemNote } from '../../components/base';
import { bytes } from '../../components/format';
import Markdown from '../../components/Markdown';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { compareVersions } from '../apps/usage';
import { AppIcon } from './AppIcon';
import { InstallDialog } from './InstallDialog';
import { Permissions } from './Permissions';
import { Signature } from './Signature';
import { UpgradeDialog } from './UpgradeDialog';

export default function Entry() {
  const { t, tl, maybe } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const { id = '' } = useParams({ strict: false }) as { id?: string };
  const [installing, setInstalling] = useState<'install' | 'upgrade' | null>(null);
  const [url, setUrl] = useUrl();
  const entry = useQuery({ queryKey: ['catalog', 'one', id, url.version], queryFn: () => api.catalog.get(id, url.version), placeholderData: keepPreviousData });
  if (entry.error) return <ProblemNote error={entry.error} retry={() => void entry.refetch()} />;
  if (!entry.data) return <Loading />;
  const e = entry.data;
  return (
    <div className="page">
      <div className="row" style={{ gap: 14, alignItems: 'flex-start' }}>
        <AppIcon url={e.icon_url} name={tl(e.name)} large />
        <div className="grow">
          <PageHead
            title={tl(e.name)}
            crumbs={[{ label: t('nav.catalog'), to: '/catalog' }]}
            sub={
              <>
                <span>{e.publisher}</span>
                <span>{e.version}</span>
                <Signature signature={e.signature} />
                {e.installed && <Chip tone="ok">{t('catalog.installedVersion', { version: e.installed })}</Chip>}
              </>
            }
            actions={
              <>
                {e.installed && <Button onClick={() => void navigate({ to: `/apps/${e.id}` })}>{t('catalog.manage')}</Button>}
                {can('plugins.manage') && (!e.installed || compareVersions(e.version ?? '', e.installed) > 0) && (
                  <Button type="primary" disabled={e.problem !== null} onClick={() => setInstalling(e.installed ? 'upgrade' : 'install')}>
                    {e.installed ? t('versions.upgrade') : t('catalog.install')}
                  </Button>
                )}
              </>
            }
          />
        </div>
      </div>
      {e.problem && (
        <Note tone="bad" title={t('catalog.problem')}>
          <span lang="en">{e.problem}</span>
        </Note>
      )}
      {!can('plugins.manage') && !e.installed && <Note tone="info">{t('catalog.askAdmin')}</Note>}
      <div className="split">
        <div className="stack">
          <Panel title={t('catalog.what')}>
            <p style={{ maxWidth: '76ch' }}>{tl(e.description)}</p>
            <Screenshots addresses={e.screenshots} name={tl(e.name)} />
          </Panel>
          {e.changelog && (
            <Panel title={t('catalog.changelog')}>
              <Markdown text={e.changelog} />
            </Panel>
          )}
          <Panel title={t('catalog.permissions')}>
            <p className="dim">{t('catalog.permissionsText')}</p>
            <Permissions asked={e.permissions} />
          </Panel>
          <VersionList entry={e} onChoose={(version) => setUrl({ version }, true)} />
        </div>
        <Panel title={t('catalog.facts')}>
          <div className="stack">
            <Signature signature={e.signature} long />
            <dl className="kv one">
              <div>
                <dt>{t('catalog.publisher')}</dt>
                <dd>{e.publisher}</dd>
              </div>
              <div>
                <dt>{t('field.version')}</dt>
                <dd>{e.version}</dd>
              </div>
              <div>
                <dt>{t('catalog.size')}</dt>
                <dd>{bytes(e.size)}</dd>
              </div>
              <div>
                <dt>{t('catalog.api')}</dt>
                <dd className="mono">{e.api}</dd>
              </div>
              {e.license && (
                <div>
                  <dt>{t('catalog.license')}</dt>
                  <dd>{e.license}</dd>
                </div>
              )}
              {e.categories.length > 0 && (
                <div>
                  <dt>{t('catalog.categories')}</dt>
                  <dd>{e.categories.map((c) => maybe(`category.${c}`, c)).join(', ')}</dd>
                </div>
              )}
              {Object.keys(e.requires).length > 0 && (
                <div>
                  <dt>{t('catalog.requires')}</dt>
                  <dd>
                    {Object.entries(e.requires).map(([other, range]) => (
                      <div key={other}>
                        <Link to={`/catalog/${other}`}>{other}</Link> <span className="mono">{range}</span>
                      </div>
                    ))}
                  </dd>
                </div>
              )}
              <div>
                <dt>{t('catalog.from')}</dt>
                <dd style={{ overflowWrap: 'anywhere' }}>{e.catalogs.join(', ')}</dd>
              </div>
              <div>
                <dt>ID</dt>
                <dd className="mono">{e.id}</dd>
              </div>
            </dl>
            {e.installed && <Link to={`/apps/${e.id}`}>{t('catalog.manage')}</Link>}
          </div>
        </Panel>
      </div>
      {installing === 'install' && <InstallDialog entry={e} onClose={() => setInstalling(null)} />}
      {installing === 'upgrade' && <UpgradeDialog id={e.id ?? ''} name={tl(e.name)} icon={e.icon_url} version={e.version ?? ''} onClose={() => setInstalling(null)} />}
    </div>
  );
}

/** Images in a row; one is shown large when it is chosen. */
function Screenshots({ addresses, name }: { addresses: string[]; name: string }) {
  const { t } = useI18n();
  const [large, setLarge] = useState<number | null>(null);
  if (addresses.length === 0) return null;
  const label = (i: number) => t('catalog.screenshot', { n: i + 1, name });
  return (
    <>
      <ul className="shots">
        {addresses.map((url, i) => (
          <li key={url}>
            <button type="button" onClick={() => setLarge(i)}>
              <img src={url} alt={label(i)} loading="lazy" />
            </button>
          </li>
        ))}
      </ul>
      <Modal
        open={large !== null}
        onCancel={() => setLarge(null)}
        title={large === null ? '' : label(large)}
        width="min(1200px, calc(100vw - 32px))"
        centered
        footer={
          addresses.length > 1 && (
            <>
              <Button disabled={large === 0} onClick={() => setLarge((n) => (n ?? 0) - 1)}>
                {t('action.previous')}
              </Button>
              <Button disabled={large === addresses.length - 1} onClick={() => setLarge((n) => (n ?? 0) + 1)}>
                {t('action.next')}
              </Button>
            </>
          )
        }
      >
        {large !== null && <img src={addresses[large]} alt={label(large)} style={{ display: 'block', maxWidth: '100%', maxHeight: 'calc(100dvh - 200px)', margin: '0 auto' }} />}
      </Modal>
    </>
  );
}

/** All versions that the catalogs have; the page shows the chosen one. */
function VersionList({ entry: e, onChoose }: { entry: CatalogEntry; onChoose: (version: string) => void }) {
  const { t } = useI18n();
  if (e.versions.length === 0) return null;
  return (
    <Panel title={t('versions.tab')} flush>
      <div className="table-wrap">
        <table className="t stacked">
          <thead>
            <tr>
              <th scope="col">{t('field.version')}</th>
              <th scope="col">{t('catalog.size')}</th>
              <th scope="col">{t('catalog.api')}</th>
              <th scope="col">{t('catalog.signature')}</th>
              <th scope="col">{t('catalog.from')}</th>
              <th scope="col">
                <span className="sr">{t('action.more')}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {e.versions.map((v) => (
              <tr key={v.digest} aria-current={v.version === e.version ? 'true' : undefined}>
                <td className="first">
                  <span className="row wrap" style={{ gap: '2px 8px' }}>
                    {v.version}
                    {v.version === e.installed && <Chip tone="ok">{t('catalog.installed')}</Chip>}
                    {v.prerelease && <Chip tone="warn">{t('catalog.prerelease')}</Chip>}
                    {v.problem && <Chip tone="bad" title={v.problem}>{t('catalog.notHere')}</Chip>}
                  </span>
                </td>
                <td data-label={t('catalog.size')} className="nowrap">
                  {bytes(v.size)}
                </td>
                <td data-label={t('catalog.api')}>
                  <span className="mono">{v.api}</span>
                </td>
                <td data-label={t('catalog.signature')}>{t(`signature.${v.state}`)}</td>
                <td data-label={t('catalog.from')} style={{ overflowWrap: 'anywhere' }}>
                  {v.catalogs.join(', ')}
                </td>
                <td>
                  {v.version === e.version ? (
                    <span className="dim">{t('catalog.shown')}</span>
                  ) : (
                    <Button size="small" onClick={() => onChoose(v.version)} aria-label={t('catalog.showVersion', { version: v.version })}>
                      {t('catalog.show')}
                    </Button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
