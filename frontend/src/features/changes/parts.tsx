import { Chip, type Tone } from '../../components/base';
import type { ChangeState } from '../../api/changes';
import { useI18n } from '../../i18n';

const TONES: Record<ChangeState, Tone> = { open: 'warn', approved: 'info', running: 'info', done: 'ok', rejected: 'bad', withdrawn: 'idle', conflict: 'bad', failed: 'bad' };

export function ChangeStatus({ state }: { state: ChangeState }) {
  const { t } = useI18n();
  return <Chip tone={TONES[state]}>{t(`changeState.${state}`)}</Chip>;
}
