import { Dropdown } from 'antd';
import { Languages, Monitor, Moon, Sun } from 'lucide-react';
import { Icon } from '../components/base';
import { useI18n } from '../i18n';
import { useTheme, type ThemeChoice } from '../theme';

export function LanguageButton() {
  const { t, locale, setLocale } = useI18n();
  return (
    <button type="button" className="icon-btn" title={t('nav.language')} onClick={() => setLocale(locale === 'en' ? 'zh' : 'en')}>
      <Icon of={Languages} />
      <span lang={locale === 'en' ? 'zh-CN' : 'en'}>{locale === 'en' ? '中文' : 'EN'}</span>
      <span className="vh">{t('nav.language')}</span>
    </button>
  );
}

export function ThemeButton() {
  const { t } = useI18n();
  const { choice, mode, choose } = useTheme();
  const items = [
    { key: 'system', label: t('theme.system'), icon: <Icon of={Monitor} /> },
    { key: 'light', label: t('theme.light'), icon: <Icon of={Sun} /> },
    { key: 'dark', label: t('theme.dark'), icon: <Icon of={Moon} /> },
  ];
  return (
    <Dropdown menu={{ items, selectable: true, selectedKeys: [choice], onClick: ({ key }) => choose(key as ThemeChoice) }} trigger={['click']} placement="bottomRight">
      <button type="button" className="icon-btn" aria-label={t('theme.label')} title={t('theme.label')}>
        <Icon of={mode === 'dark' ? Moon : Sun} />
      </button>
    </Dropdown>
  );
}
