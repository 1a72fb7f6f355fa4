import { Button } from 'antd';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { api } from '../../api/endpoints';
import type { CatalogEntry, Plugin } from '../../api/types';
import { Note, ProblemNote, Status } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { AppDialog } from './AppDialog';
import { Permissions } from './Permissions';
import { Signature } from './Signature';

/** Longer than any package took to be prepared: then there is more to say than "wait". */
const USUAL_MS = 90_000;

/** Asks for the grants, installs, and waits until the app can be opened. */
export function InstallDialog({ entry: e, onClose }: { entry: CatalogEntry; onClose: () => void }) {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  const client = useQueryClient();
  const id = e.id ?? '';
  const name = tl(e.name);
  const [granted, setGranted] = useState(e.permissions.map((p) => p.name));
  const [installed, setInstalled] = useState(false);
  const [late, setLate] = useState(false);
  const install = useAct<void, Plugin>({
    run: () => api.plugins.install({ id, ...(e.version ? { version: e.version } : {}), permissions: granted }),
    stale: [['plugins'], ['catalog'], ['home'], ['workflows'], ['actions']],
    quiet: true,
    then: () => setInstalled(true),
  });
  const plugin = useQuery({
    queryKey: ['plugins', 'one', id],
    queryFn: () => api.plugins.get(id),
    enabled: installed,
    refetchInterval: (q) => (q.state.data?.status === 'compiling' && !q.state.error ? 1000 : false),
  });
  const status = plugin.data?.status;
  useEffect(() => {
    if (status) void client.invalidateQueries({ queryKey: ['plugins', 'list'] });
  }, [client, status]);
  const waiting = installed && !plugin.error && (status === 'compiling' || status === undefined);
  useEffect(() => {
    if (!waiting) return;
    const timer = setTimeout(() => setLate(true), USUAL_MS);
    return () => clearTimeout(timer);
  }, [waiting]);
  const missing = e.permissions.filter((p) => !granted.includes(p.name));
  const first = plugin.data?.pages[0];
  const go = (to: string) => {
    onClose();
    void navigate({ to });
  };
  return (
    <AppDialog
      icon={e.icon_url}
      name={name}
      title={t('catalog.installOf', { name })}
      sub={[e.publisher, e.version].filter(Boolean).join(' · ')}
      onClose={onClose}
      footer={
        installed ? (
          <>
            <Button onClick={onClose}>{t('action.close')}</Button>
            {(status !== 'active' || !first) && <Button onClick={() => go(`/apps/${id}`)}>{t('catalog.manage')}</Button>}
            {first && (
              <Button type="primary" disabled={status !== 'active'} onClick={() => go(`/app/${id}/${first.id}`)}>
                {t('catalog.open')}
              </Button>
            )}
          </>
        ) : (
          <>
            <Button onClick={onClose}>{t('action.cancel')}</Button>
            <Button type="primary" loading={install.isPending} onClick={() => install.mutate()}>
              {t('catalog.installGrant')}
            </Button>
          </>
        )
      }
    >
      {installed ? (
        <div className="stack" aria-live="polite">
          {plugin.error ? (
            <>
              <Note tone="warn" title={t('catalog.unknown')}>
                {t('catalog.unknownText')}
              </Note>
              <ProblemNote error={plugin.error} retry={() => void plugin.refetch()} />
            </>
          ) : waiting ? (
            <>
              <p>
                <Status value="compiling" /> {t('catalog.compiling')}
              </p>
              {late && (
                <Note tone="info" title={t('catalog.late')}>
                  <div>{t('catalog.lateText')}</div>
                  <Button size="small" style={{ marginTop: 6 }} loading={plugin.isFetching} onClick={() => void plugin.refetch()}>
                    {t('action.retry')}
                  </Button>
                </Note>
              )}
            </>
          ) : status === 'active' ? (
            <Note tone="ok" title={t('catalog.ready', { name })}>
              {first && t('catalog.readyText')}
            </Note>
          ) : (
            <Note tone="bad" title={t('plugin.failed', { name })}>
              {plugin.data?.status_reason ?? <Status value={status ?? 'unknown'} />}
            </Note>
          )}
        </div>
      ) : (
        <div className="stack">
          <Signature signature={e.signature} long />
          <p>{e.permissions.length > 0 ? t('catalog.asks') : t('permission.none')}</p>
          {e.permissions.length > 0 && <Permissions asked={e.permissions} granted={granted} onChange={setGranted} />}
          {missing.length > 0 && <Note tone="warn">{t('catalog.partial')}</Note>}
          <ProblemNote error={install.error} />
        </div>
      )}
    </AppDialog>
  );
}
