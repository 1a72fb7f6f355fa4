import { TabLine } from '../../components/base';
import { useI18n, type T } from '../../i18n';

/** A source's name in the reader's language. */
export function sourceName(source: string, t: T): string {
  const plugin = /^plugin:(.+)$/.exec(source)?.[1];
  if (plugin) return t('who.plugin', { plugin });
  switch (source) {
    case 'manual':
    case 'agent':
    case 'import':
      return t(`sources.of.${source}`);
    default:
      return source;
  }
}

export function SourceTabs() {
  const { t } = useI18n();
  return (
    <TabLine
      label={t('sources.title')}
      items={[
        { to: '/sources', label: t('sources.title'), exact: true },
        { to: '/sources/reviews', label: t('reviews.title') },
        { to: '/sources/precedence', label: t('precedence.title') },
      ]}
    />
  );
}
