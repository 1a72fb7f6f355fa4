import { TabLine } from '../../components/base';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';

export function JobTabs() {
  const { t } = useI18n();
  const can = useCan();
  return (
    <TabLine
      label={t('nav.jobs')}
      items={[
        { to: '/jobs', label: t('jobs.tab.executions') },
        { to: '/jobs/approvals', label: t('safety.tab') },
        ...(can('jobs.run') ? [{ to: '/jobs/rules', label: t('safety.rules') }] : []),
      ]}
    />
  );
}
