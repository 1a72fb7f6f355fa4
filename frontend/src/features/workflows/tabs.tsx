import { TabLine } from '../../components/base';
import { useI18n } from '../../i18n';

export function WorkflowTabs() {
  const { t } = useI18n();
  return (
    <TabLine
      label={t('nav.workflows')}
      items={[
        { to: '/workflows', label: t('workflows.definitions') },
        { to: '/runs', label: t('workflows.runs') },
        { to: '/approvals', label: t('approvals.mine') },
        { to: '/runs/statistics', label: t('statistics.title') },
        { to: '/schedules', label: t('workflows.schedules') },
      ]}
    />
  );
}
