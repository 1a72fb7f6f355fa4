import { Button, Modal } from 'antd';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { api } from '../../api/endpoints';
import type { CatalogEntry, Plugin } from '../../api/types';
import { Note, ProblemNote, Status } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { AppIcon } from './AppIcon';
import { Permissions } from './Permissions';
import { Signature } from './Signature';

/** Asks for the grants, installs, and waits until the app can be opened. */
export function InstallDialog({ entry: e, onClose }: { entry: CatalogEntry; onClose: () => void }) {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  const client = useQueryClient();
  const id = e.id ?? '';
  const [granted, setGranted] = useState(e.permissions.map((p) => p.name));
  const [installed, setInstalled] = useState(false);
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
    refetchInterval: (q) => (q.state.data?.status === 'compiling' ? 1000 : false),
  });
  const status = plugin.data?.status;
  useEffect(() => {
    if (status) void client.invalidateQueries({ queryKey: ['plugins', 'list'] });
  }, [client, status]);
  const missing = e.permissions.filter((p) => !granted.includes(p.name));
  const first = plugin.data?.pages[0];
  return (
    <Modal
      open
      onCancel={onClose}
      width={640}
      centered
      // The buttons stay in sight however much is asked for.
      styles={{ body: { maxHeight: 'calc(100dvh - 220px)', overflowY: 'auto' } }}
      mask={{ closable: false }}
      title={
        <span className="row" style={{ gap: 10 }}>
          <AppIcon url={e.icon_url} name={tl(e.name)} />
          <span>
            {t('catalog.installOf', { name: tl(e.name) })}
            <div className="dim" style={{ fontWeight: 400 }}>
              {e.publisher} · {e.version}
            </div>
          </span>
        </span>
      }
      footer={
        installed ? (
          <>
            <Button onClick={onClose}>{t('action.close')}</Button>
            {first && (
              <Button
                type="primary"
                disabled={status !== 'active'}
                onClick={() => {
                  onClose();
                  void navigate({ to: `/app/${id}/${first.id}` });
                }}
              >
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
          {status === 'active' && <Note tone="ok" title={t('catalog.ready', { name: tl(e.name) })}>{t('catalog.readyText')}</Note>}
          {(status === 'compiling' || status === undefined) && (
            <p>
              <Status value="compiling" /> {t('catalog.compiling')}
            </p>
          )}
          {status === 'failed' && <Note tone="bad" title={t('plugin.failed', { name: tl(e.name) })}>{plugin.data?.status_reason}</Note>}
        </div>
      ) : (
        <div className="stack">
          <Signature signature={e.signature} long />
          <p>{t('catalog.asks')}</p>
          <Permissions asked={e.permissions} granted={granted} onChange={setGranted} />
          {missing.length > 0 && <Note tone="warn">{t('catalog.partial')}</Note>}
          <ProblemNote error={install.error} />
        </div>
      )}
    </Modal>
  );
}
