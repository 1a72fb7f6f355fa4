import { Link } from '@tanstack/react-router';
import { Clip } from '../../components/base';
import { useI18n } from '../../i18n';

/** What started a piece of work, as a link where it has a page. */
export function Origin({ origin }: { origin: string }) {
  const { t } = useI18n();
  const [kind = '', id = ''] = origin.split('/', 2);
  if (kind === 'workflow-run') return <Link to={`/runs/${id}`}>{t('origin.run')}</Link>;
  if (kind === 'plugin') return <Link to={`/apps/${id}`}>{t('origin.plugin', { id })}</Link>;
  if (kind === 'schedule') return <Link to="/schedules">{t('origin.schedule')}</Link>;
  if (kind === 'user') return <span>{t('origin.user')}</span>;
  return <Clip width={180}>{origin}</Clip>;
}
