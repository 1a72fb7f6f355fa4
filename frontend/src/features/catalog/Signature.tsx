import { ShieldAlert, ShieldCheck, ShieldOff, ShieldQuestion } from 'lucide-react';
import type { Signature as Sig } from '../../api/types';
import { Chip, Icon } from '../../components/base';
import { useI18n } from '../../i18n';

const looks = {
  trusted: { icon: ShieldCheck, tone: 'ok' },
  unknown_publisher: { icon: ShieldQuestion, tone: 'warn' },
  unsigned: { icon: ShieldOff, tone: 'warn' },
  modified: { icon: ShieldAlert, tone: 'bad' },
} as const;

/** Whether a package is what a known publisher made. */
export function Signature({ signature, long }: { signature: Sig; long?: boolean }) {
  const { t } = useI18n();
  const look = looks[signature.state] ?? looks.unsigned;
  return (
    <span>
      <Chip tone={look.tone} title={signature.key_id ? t('signature.key', { id: signature.key_id }) : undefined}>
        <Icon of={look.icon} />
        {t(`signature.${signature.state}`)}
      </Chip>
      {long && (
        <div className="dim" style={{ marginTop: 4 }}>
          {t(`signature.${signature.state}.text`, { publisher: signature.publisher ?? '' })}
          {signature.key_id && <span className="faint mono"> {signature.key_id}</span>}
          {signature.reason && <div lang="en">{signature.reason}</div>}
        </div>
      )}
    </span>
  );
}
