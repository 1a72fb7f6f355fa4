/**
 * Every colour, size and font of the portal. Components take them as CSS variables (`var(--p-<name>)`),
 * antd takes them through `antdTheme`, plugin pages get them over the bridge.
 */
export type Mode = 'light' | 'dark';

const light = {
  bg: '#f5f4f0',
  surface: '#ffffff',
  sunken: '#edece7',
  hover: '#f3f2ed',
  border: '#dfddd6',
  'border-strong': '#c4c1b8',
  text: '#1b1f1e',
  'text-2': '#545b59',
  'text-3': '#666d6a',
  accent: '#0c6a63',
  'accent-hover': '#09544e',
  'accent-soft': '#dcedea',
  'on-accent': '#ffffff',
  ok: '#1b6e41',
  'ok-soft': '#dff0e5',
  warn: '#84540a',
  'warn-soft': '#f8ebcf',
  bad: '#ab2419',
  'bad-soft': '#fae3df',
  info: '#27569b',
  'info-soft': '#e1eaf7',
  idle: '#5d6461',
  'idle-soft': '#e8e7e2',
  nav: '#15211f',
  'nav-hover': '#20302d',
  'nav-active': '#2a3f3b',
  'nav-text': '#c3d0cc',
  'nav-text-2': '#8fa39e',
  'nav-mark': '#4cc0b4',
  code: '#f1f0eb',
  mask: 'rgba(18, 26, 24, 0.45)',
  shadow: '0 8px 28px rgba(20, 28, 26, 0.16)',
};

const dark: typeof light = {
  bg: '#101514',
  surface: '#171d1c',
  sunken: '#0c1110',
  hover: '#1d2523',
  border: '#29322f',
  'border-strong': '#404b47',
  text: '#e4eae7',
  'text-2': '#a8b3af',
  'text-3': '#909c97',
  accent: '#52c4b8',
  'accent-hover': '#78d6cc',
  'accent-soft': '#14322e',
  'on-accent': '#05201d',
  ok: '#62c78f',
  'ok-soft': '#14301f',
  warn: '#e2ad55',
  'warn-soft': '#382a10',
  bad: '#f58d83',
  'bad-soft': '#3e1a17',
  info: '#8ab6f2',
  'info-soft': '#18294a',
  idle: '#9aa5a1',
  'idle-soft': '#232b29',
  nav: '#0b100f',
  'nav-hover': '#151d1b',
  'nav-active': '#1d2a27',
  'nav-text': '#c3d0cc',
  'nav-text-2': '#8fa39e',
  'nav-mark': '#52c4b8',
  code: '#0f1413',
  mask: 'rgba(0, 0, 0, 0.6)',
  shadow: '0 8px 28px rgba(0, 0, 0, 0.55)',
};

export const palettes: Record<Mode, Record<keyof typeof light, string>> = { light, dark };

export const fonts = {
  sans: '"Inter", "Segoe UI Variable Text", "Segoe UI", "PingFang SC", "Noto Sans SC", "Microsoft YaHei", system-ui, sans-serif',
  mono: 'ui-monospace, "JetBrains Mono", "SFMono-Regular", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
};

export const sizes = { font: 13, radius: 3, control: 30, nav: 216, header: 46 };

/** The same tokens as CSS variables. */
export function cssVariables(mode: Mode): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(palettes[mode])) out[`--p-${name}`] = value;
  out['--p-sans'] = fonts.sans;
  out['--p-mono'] = fonts.mono;
  out['--p-radius'] = `${sizes.radius}px`;
  out['--p-nav-width'] = `${sizes.nav}px`;
  out['--p-header'] = `${sizes.header}px`;
  return out;
}
