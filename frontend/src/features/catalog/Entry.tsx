import { Button } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import { Chip, Loading, Note, PageHead, Panel, ProblemNote } from '../../components/base';
import { bytes } from '../../components/format';
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
  const entry = useQuery({ queryKey: ['catalog', 'one', id], queryFn: () => api.catalog.get(id) });
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
      {e.problem && <Note tone="bad" title={t('catalog.problem')}>{e.problem}</Note>}
      {!can('plugins.manage') && !e.installed && <Note tone="info">{t('catalog.askAdmin')}</Note>}
      <div className="split">
        <div className="stack">
          <Panel title={t('catalog.what')}>
            <p style={{ maxWidth: '76ch' }}>{tl(e.description)}</p>
          </Panel>
          <Panel title={t('catalog.permissions')}>
            <p className="dim">{t('catalog.permissionsText')}</p>
            <Permissions asked={e.permissions} />
          </Panel>
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
