import { Button, Modal, Radio } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Plugin } from '../../api/types';
import { Chip, Loading, Note, Panel, ProblemNote, Status, Time, Who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { UpgradeDialog } from '../catalog/UpgradeDialog';
import { compareVersions } from './usage';

/** What was installed when, by whom; on to a newer version and back to the one before. */
export function Versions({ plugin: p }: { plugin: Plugin }) {
  const { t, tl, maybe } = useI18n();
  const can = useCan();
  const [going, setGoing] = useState<'back' | 'on' | null>(null);
  const versions = useQuery({ queryKey: ['plugins', 'versions', p.id], queryFn: () => api.plugins.versions(p.id) });
  const newest = useNewest(p);
  if (versions.error) return <ProblemNote error={versions.error} retry={() => void versions.refetch()} />;
  if (!versions.data) return <Loading />;
  const { items, previous } = versions.data;
  return (
    <div className="stack">
      {newest && (
        <Note tone="info" title={t('versions.newer', { version: newest })}>
          {can('plugins.manage') ? (
            <Button size="small" type="primary" style={{ marginTop: 4 }} onClick={() => setGoing('on')}>
              {t('versions.upgrade')}
            </Button>
          ) : (
            t('catalog.askAdmin')
          )}
        </Note>
      )}
      <Panel
        flush
        title={t('versions.title')}
        actions={
          previous && can('plugins.manage') ? (
            <Button size="small" onClick={() => setGoing('back')}>
              {t(compareVersions(previous, p.version) > 0 ? 'versions.returnTo' : 'versions.rollbackTo', { version: previous })}
            </Button>
          ) : undefined
        }
      >
        <div className="table-wrap">
          <table className="t stacked">
            <thead>
              <tr>
                <th scope="col">{t('field.version')}</th>
                <th scope="col">{t('versions.change')}</th>
                <th scope="col">{t('versions.when')}</th>
                <th scope="col">{t('field.by')}</th>
                <th scope="col">{t('versions.reason')}</th>
              </tr>
            </thead>
            <tbody>
              {items.map((v, i) => (
                <tr key={i}>
                  <td className="first">
                    <span className="row">
                      {v.version} {v.digest === p.digest && items.findIndex((x) => x.digest === p.digest) === i && <Chip tone="ok">{t('versions.current')}</Chip>}
                    </span>
                  </td>
                  <td data-label={t('versions.change')}>{v.change === 'failed' ? <Status value="failed" label={t('versions.failed')} /> : maybe(`versions.${v.change}`, v.change)}</td>
                  <td data-label={t('versions.when')}>
                    <Time at={v.at} both />
                  </td>
                  <td data-label={t('field.by')}>
                    <Who actor={v.by} />
                  </td>
                  <td className={v.reason ? 'fluid' : 'fluid void'} data-label={t('versions.reason')} style={{ overflowWrap: 'anywhere' }}>
                    {v.reason}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Panel>
      {!previous && <p className="dim">{t('versions.noPrevious')}</p>}
      {going === 'back' && previous && <Rollback plugin={p} to={previous} onClose={() => setGoing(null)} />}
      {going === 'on' && newest && <UpgradeDialog id={p.id} name={tl(p.name)} icon={p.icon_url} version={newest} onClose={() => setGoing(null)} />}
    </div>
  );
}

/** The newer version that the catalog offers, if it does. */
function useNewest(p: Plugin): string | null {
  const catalog = useQuery({ queryKey: ['catalog', 'list'], queryFn: () => api.catalog.list() });
  const all = (catalog.data?.items ?? []).filter((e) => e.id === p.id && e.problem === null && e.version !== null && compareVersions(e.version, p.version) > 0);
  return all.map((e) => e.version ?? '').sort(compareVersions).at(-1) ?? null;
}

function Rollback({ plugin: p, to, onClose }: { plugin: Plugin; to: string; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [data, setData] = useState<'keep' | 'restore'>('keep');
  const back = useAct({
    run: () => api.plugins.rollback(p.id, data),
    done: t('versions.rolledBackTo', { name: tl(p.name), version: to }),
    stale: [['plugins'], ['catalog'], ['workflows'], ['actions'], ['schedules']],
    quiet: true,
    then: onClose,
  });
  return (
    <Modal open onCancel={onClose} title={t('versions.rollbackTitle', { name: tl(p.name), version: to })} okText={t('versions.rollback')} okButtonProps={{ danger: data === 'restore', loading: back.isPending }} onOk={() => back.mutate()}>
      <div className="stack">
        <p>{t('versions.rollbackText', { from: p.version, to })}</p>
        <Radio.Group
          value={data}
          onChange={(e) => setData(e.target.value as 'keep' | 'restore')}
          style={{ display: 'flex', flexDirection: 'column', gap: 8 }}
          options={[
            { value: 'keep', label: t('versions.keepData') },
            { value: 'restore', label: t('versions.restoreData') },
          ]}
        />
        {data === 'restore' && <Note tone="warn">{t('versions.restoreText')}</Note>}
        <ProblemNote error={back.error} />
      </div>
    </Modal>
  );
}
