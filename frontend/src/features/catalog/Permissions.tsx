import { Checkbox } from 'antd';
import { Check, KeyRound } from 'lucide-react';
import type { PermissionAsk } from '../../api/types';
import { Chip, Icon } from '../../components/base';
import { useI18n } from '../../i18n';

/** What an app asks for: in plain words, with the app's own reason, and how far it reaches. */
export function Permissions({ asked, granted, onChange, has }: { asked: PermissionAsk[]; granted?: string[]; onChange?: (names: string[]) => void; has?: (name: string) => boolean }) {
  const { t, tl, maybe } = useI18n();
  if (asked.length === 0) return <p className="dim">{t('permission.none')}</p>;
  return (
    <ul>
      {asked.map((p) => {
        const title = maybe(`permission.${p.name}`, p.name);
        const on = granted?.includes(p.name) ?? false;
        return (
          <li key={p.name} className="perm">
            {onChange && granted ? (
              <Checkbox aria-label={title} checked={on} onChange={(e) => onChange(e.target.checked ? [...granted, p.name] : granted.filter((x) => x !== p.name))} />
            ) : (
              <span style={{ color: has && !has(p.name) ? 'var(--p-text-3)' : 'var(--p-accent)' }}>
                <Icon of={has && has(p.name) ? Check : KeyRound} />
              </span>
            )}
            <span className="row wrap" style={{ gap: '0 8px' }}>
              <strong style={{ fontWeight: 600 }}>{title}</strong>
              <code className="faint">{p.name}</code>
              {has && !has(p.name) && <Chip tone="warn">{t('permission.notGranted')}</Chip>}
            </span>
            <span className="why">{tl(p.reason)}</span>
            {p.scope && Object.keys(p.scope).length > 0 && (
              <span className="scope">
                {Object.entries(p.scope).map(([k, values]) => (
                  <span key={k} className="row wrap" style={{ gap: 4 }}>
                    <span className="faint">{maybe(`scope.${k}`, k)}:</span>
                    {values.map((v) => (
                      <Chip key={v}>{v}</Chip>
                    ))}
                  </span>
                ))}
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}
