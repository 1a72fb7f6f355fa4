import { App as AntApp, ConfigProvider, theme as antd } from 'antd';
import enUS from 'antd/locale/en_US';
import zhCN from 'antd/locale/zh_CN';
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { useI18n } from './i18n';
import { cssVariables, fonts, palettes, sizes, type Mode } from './tokens';

export type ThemeChoice = Mode | 'system';

interface ThemeState {
  choice: ThemeChoice;
  mode: Mode;
  choose: (choice: ThemeChoice) => void;
}

const Ctx = createContext<ThemeState | null>(null);
const KEY = 'plenum.theme';

function stored(): ThemeChoice {
  const v = localStorage.getItem(KEY);
  return v === 'light' || v === 'dark' ? v : 'system';
}

const DARK = '(prefers-color-scheme: dark)';
const STILL = '(prefers-reduced-motion: reduce)';

/** Whether the system asks for this, now and when it changes. */
function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => window.matchMedia(query).matches);
  useEffect(() => {
    const media = window.matchMedia(query);
    const on = () => setMatches(media.matches);
    media.addEventListener('change', on);
    return () => media.removeEventListener('change', on);
  }, [query]);
  return matches;
}

export function useTheme(): ThemeState {
  const v = useContext(Ctx);
  if (!v) throw new Error('useTheme outside ThemeProvider');
  return v;
}

function antdTheme(mode: Mode, motion: boolean) {
  const p = palettes[mode];
  return {
    algorithm: mode === 'dark' ? antd.darkAlgorithm : antd.defaultAlgorithm,
    token: {
      colorPrimary: p.accent,
      colorLink: p.accent,
      colorLinkHover: p['accent-hover'],
      colorSuccess: p.ok,
      colorWarning: p.warn,
      colorError: p.bad,
      colorInfo: p.info,
      colorTextBase: p.text,
      colorTextSecondary: p['text-2'],
      colorTextDescription: p['text-2'],
      colorTextPlaceholder: p['text-3'],
      colorBgBase: p.surface,
      colorBgLayout: p.bg,
      colorBgContainer: p.surface,
      colorBgElevated: p.surface,
      colorBorder: p['border-strong'],
      colorBorderSecondary: p.border,
      colorBgMask: p.mask,
      colorTextLightSolid: p['on-accent'],
      fontFamily: fonts.sans,
      fontFamilyCode: fonts.mono,
      fontSize: sizes.font,
      borderRadius: sizes.radius,
      borderRadiusLG: sizes.radius + 1,
      controlHeight: sizes.control,
      boxShadow: p.shadow,
      boxShadowSecondary: p.shadow,
      wireframe: false,
      motion,
      motionDurationMid: '0.12s',
      motionDurationSlow: '0.16s',
    },
    components: {
      Button: { primaryShadow: 'none', defaultShadow: 'none', dangerShadow: 'none', fontWeight: 500 },
      Tabs: { horizontalMargin: '0 0 12px 0', titleFontSize: 13 },
      Form: { itemMarginBottom: 14, verticalLabelPadding: '0 0 3px' },
      Tooltip: { colorBgSpotlight: palettes.light.nav, colorTextLightSolid: '#eef3f1' },
      Tag: { defaultBg: p.sunken },
    },
  };
}

/** Chooses light or dark (the system's choice unless told otherwise) and gives antd our tokens and language; nothing moves for people who asked
 * their system for that. */
export function ThemeProvider({ children }: { children: ReactNode }) {
  const { locale } = useI18n();
  const [choice, setChoice] = useState<ThemeChoice>(stored);
  const system: Mode = useMedia(DARK) ? 'dark' : 'light';
  const motion = !useMedia(STILL);
  const mode = choice === 'system' ? system : choice;

  useEffect(() => {
    const root = document.documentElement;
    root.dataset.theme = mode;
    root.style.colorScheme = mode;
    for (const [k, v] of Object.entries(cssVariables(mode))) root.style.setProperty(k, v);
  }, [mode]);

  const value = useMemo<ThemeState>(
    () => ({
      choice,
      mode,
      choose: (c) => {
        if (c === 'system') localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, c);
        setChoice(c);
      },
    }),
    [choice, mode],
  );
  const config = useMemo(() => antdTheme(mode, motion), [mode, motion]);
  return (
    <Ctx.Provider value={value}>
      <ConfigProvider theme={config} locale={locale === 'zh' ? zhCN : enUS} wave={{ disabled: true }} button={{ autoInsertSpace: false }} componentSize="middle">
        <AntApp component={false} message={{ maxCount: 3 }} notification={{ placement: 'bottomRight' }}>
          {children}
        </AntApp>
      </ConfigProvider>
    </Ctx.Provider>
  );
}
