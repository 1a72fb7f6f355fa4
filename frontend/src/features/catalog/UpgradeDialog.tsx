import { Button, Checkbox } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { PermissionChange, Plugin, UpgradePlan } from '../../api/types';
import { Chip, Loading, Note, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { Scope } from '../apps/AppPermissions';
import { byWeight, chosenGrants, keptGrants, lostGrants } from '../apps/usage';
import { AppDialog } from './AppDialog';

/** What a newer version asks for beyond the installed one: nothing new is granted that was not ticked here. */
export function UpgradeDialog({ id, name, icon, version, onClose }: { id: string; name: string; icon: string | null; version: string; onClose: () => void }) {
  const { t } = useI18n();
  const plan = useQuery({ queryKey: ['plugins', 'upgrade', id, version], queryFn: () => api.plugins.upgradePlan(id, version), gcTime: 0 });
  const [chosen, setChosen] = useState<string[] | null>(null);
  const changes = plan.data?.permissions ?? [];
  const granted = chosen ?? keptGrants(changes);
  const upgrade = useAct<void, Plugin>({
    run: () => {
      const permissions = chosenGrants(changes, granted);
      return api.plugins.upgrade(id, { version, ...(permissions ? { permissions } : {}) });
    },
    done: t('upgrade.done', { name, version }),
    stale: [['plugins'], ['catalog'], ['home'], ['workflows'], ['actions'], ['schedules'], ['plugin-page']],
    quiet: true,
    then: onClose,
  });
  return (
    <AppDialog
      icon={icon}
      name={name}
      title={t('upgrade.title', { name })}
      sub={plan.data && `${plan.data.from} → ${plan.data.to}`}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t('action.cancel')}</Button>
          <Button type="primary" disabled={!plan.data} loading={upgrade.isPending} onClick={() => upgrade.mutate()}>
            {changes.some((c) => c.needs_grant && granted.includes(c.name)) ? t('upgrade.grantGo') : t('versions.upgrade')}
          </Button>
        </>
      }
    >
      {plan.error ? <ProblemNote error={plan.error} retry={() => void plan.refetch()} /> : null}
      {plan.isPending && <Loading />}
      {plan.data && <Changes plan={plan.data} granted={granted} onChange={setChosen} />}
      <ProblemNote error={upgrade.error} />
    </AppDialog>
  );
}

function Changes({ plan, granted, onChange }: { plan: UpgradePlan; granted: string[]; onChange: (names: string[]) => void }) {
  const { t, tl, maybe } = useI18n();
  const waiting = plan.permissions.filter((c) => c.needs_grant && !granted.includes(c.name));
  const lost = lostGrants(plan.permissions, granted);
  const same = plan.permissions.every((c) => c.change === 'same' && !c.needs_grant);
  const names = (all: string[]) => all.map((n) => maybe(`permission.${n}`, n)).join(', ');
  return (
    <div className="stack">
      <p>{t('upgrade.text')}</p>
      <p>{plan.permissions.length === 0 ? t('permission.none') : same ? t('upgrade.same') : plan.needs_grant ? t('upgrade.asksMore') : t('upgrade.noMore')}</p>
      <ul>
        {byWeight(plan.permissions).map((c) => (
          <Change key={c.name} change={c} on={granted.includes(c.name)} onChange={(on) => onChange(on ? [...granted, c.name] : granted.filter((n) => n !== c.name))} title={maybe(`permission.${c.name}`, c.name)} reason={tl(c.reason)} />
        ))}
      </ul>
      {lost.length > 0 && <Note tone="warn">{t('permission.taken', { names: names(lost) })}</Note>}
      {waiting.length > 0 && lost.length === 0 && <Note tone="info">{t('upgrade.waits', { names: names(waiting.map((c) => c.name)) })}</Note>}
    </div>
  );
}

const tones = { added: 'warn', changed: 'warn', removed: undefined, same: undefined } as const;

function Change({ change: c, on, onChange, title, reason }: { change: PermissionChange; on: boolean; onChange: (on: boolean) => void; title: string; reason: string }) {
  const { t } = useI18n();
  return (
    <li className="perm">
      {c.to === null ? <span /> : <Checkbox aria-label={title} checked={on} onChange={(e) => onChange(e.target.checked)} />}
      <span className="row wrap" style={{ gap: '2px 8px' }}>
        <strong style={{ fontWeight: 600, textDecoration: c.to === null ? 'line-through' : undefined }}>{title}</strong>
        <code className="faint">{c.name}</code>
        {c.change !== 'same' && <Chip tone={tones[c.change]}>{t(`upgrade.${c.change}`)}</Chip>}
        {c.change === 'same' && c.granted === null && <Chip tone="warn">{t('permission.notGranted')}</Chip>}
      </span>
      {reason && <span className="why">{reason}</span>}
      <Scope from={c.change === 'added' ? null : c.from} to={c.to ?? c.from} />
    </li>
  );
}
