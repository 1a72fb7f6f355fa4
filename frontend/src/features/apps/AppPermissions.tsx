import { Button, Checkbox } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { PermissionUse, Plugin } from '../../api/types';
import { Chip, Loading, Note, Panel, ProblemNote, Time } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { scopeChanges } from './usage';

/** What an app asks for, what it got, and when it used each last; an administrator gives and takes. */
export function AppPermissions({ plugin: p }: { plugin: Plugin }) {
  const uses = useQuery({ queryKey: ['plugins', 'permissions', p.id], queryFn: () => api.plugins.permissions(p.id), refetchInterval: 10_000 });
  if (uses.error) return <ProblemNote error={uses.error} retry={() => void uses.refetch()} />;
  if (!uses.data) return <Loading />;
  // Another grant, made here or elsewhere, begins the choice anew.
  return <Grants key={JSON.stringify(p.granted) + p.version} id={p.id} items={uses.data.items} />;
}

function Grants({ id, items }: { id: string; items: PermissionUse[] }) {
  const { t, tl, maybe } = useI18n();
  const can = useCan();
  const had = items.filter((u) => u.granted !== null && u.asked !== null).map((u) => u.name);
  const [chosen, setChosen] = useState(had);
  const save = useAct({ run: () => api.plugins.setPermissions(id, chosen), done: t('permission.saved'), stale: [['plugins']], quiet: true });
  const manage = can('plugins.manage');
  const widened = items.filter((u) => u.pending && u.granted !== null && chosen.includes(u.name));
  const changed = widened.length > 0 || had.length !== chosen.length || had.some((n) => !chosen.includes(n));
  const taken = had.filter((n) => !chosen.includes(n));
  return (
    <Panel
      title={t('catalog.permissions')}
      footer={
        manage && items.length > 0 ? (
          <div className="row wrap">
            <Button type="primary" disabled={!changed} loading={save.isPending} onClick={() => save.mutate()}>
              {t('permission.save')}
            </Button>
            <span className="dim grow">{t('permission.saveText')}</span>
          </div>
        ) : undefined
      }
    >
      {items.length === 0 ? (
        <p className="dim">{t('permission.none')}</p>
      ) : (
        <ul>
          {items.map((u) => {
            const title = maybe(`permission.${u.name}`, u.name);
            return (
              <li key={u.name} className="perm">
                {manage && u.asked !== null ? (
                  <Checkbox aria-label={title} checked={chosen.includes(u.name)} onChange={(e) => setChosen(e.target.checked ? [...chosen, u.name] : chosen.filter((n) => n !== u.name))} />
                ) : (
                  <span />
                )}
                <span className="row wrap" style={{ gap: '2px 8px' }}>
                  <strong style={{ fontWeight: 600 }}>{title}</strong>
                  <code className="faint">{u.name}</code>
                  {u.granted === null && <Chip tone="warn">{t('permission.notGranted')}</Chip>}
                  {u.granted !== null && u.pending && <Chip tone="warn">{t('permission.asksMore')}</Chip>}
                  {u.asked === null && <Chip>{t('permission.notAsked')}</Chip>}
                  {u.granted !== null && u.uses === 0 && <Chip tone="info">{t('permission.neverUsed')}</Chip>}
                </span>
                {tl(u.reason) && <span className="why">{tl(u.reason)}</span>}
                <Scope from={u.granted} to={u.asked ?? u.granted} />
                <span className="scope dim">
                  {u.uses > 0 && (
                    <span>
                      {t('permission.uses', { n: u.uses })} <Time at={u.last_used_at} />
                    </span>
                  )}
                  {u.refusals > 0 && (
                    <span style={{ color: 'var(--p-bad)' }}>
                      {t('permission.refusals', { n: u.refusals })} <Time at={u.last_refused_at} />
                    </span>
                  )}
                </span>
              </li>
            );
          })}
        </ul>
      )}
      {taken.length > 0 && <Note tone="warn">{t('permission.taken', { names: taken.map((n) => maybe(`permission.${n}`, n)).join(', ') })}</Note>}
      <ProblemNote error={save.error} />
    </Panel>
  );
}

/** How far it reaches; what `to` has beyond `from` is marked. */
export function Scope({ from, to }: { from: Record<string, string[]> | null; to: Record<string, string[]> | null }) {
  const { t, maybe } = useI18n();
  const parts = scopeChanges(from, to);
  if (parts.length === 0) return null;
  return (
    <span className="scope">
      {[...new Set(parts.map((p) => p.key))].map((key) => (
        <span key={key} className="row wrap" style={{ gap: 4 }}>
          <span className="faint">{maybe(`scope.${key}`, key)}:</span>
          {parts
            .filter((p) => p.key === key)
            .map((p) => (
              <Chip key={p.value} tone={from !== null && p.change === 'added' ? 'warn' : undefined} title={p.value}>
                {from !== null && p.change === 'added' ? `+ ${p.value === '*' ? t('permission.all') : p.value}` : p.change === 'removed' ? <s>{p.value}</s> : p.value === '*' ? t('permission.all') : p.value}
              </Chip>
            ))}
        </span>
      ))}
    </span>
  );
}
