import type { Locale } from '../i18n';

const tag = (l: Locale) => (l === 'zh' ? 'zh-CN' : 'en-GB');

export function absoluteTime(d: Date, locale: Locale): string {
  return new Intl.DateTimeFormat(tag(locale), {
    year: 'numeric',
    month: locale === 'zh' ? '2-digit' : 'short',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hour12: false,
  }).format(d);
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

export function relativeTime(d: Date, now: number, locale: Locale): string {
  const seconds = Math.round((d.getTime() - now) / 1000);
  const format = new Intl.RelativeTimeFormat(tag(locale), { numeric: 'auto', style: 'short' });
  if (Math.abs(seconds) < 10) return format.format(0, 'second');
  for (const [unit, size] of steps) {
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  }
  return format.format(0, 'second');
}

export function duration(ms: number | null | undefined): string {
  if (ms == null || ms < 0) return '—';
  if (ms < 1000) return `${ms < 10 && !Number.isInteger(ms) ? ms.toFixed(2) : Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min ${Math.floor(s % 60)} s`;
  const h = Math.floor(m / 60);
  if (h < 48) return `${h} h ${m % 60} min`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}

export function bytes(n: number | null | undefined): string {
  if (n == null) return '—';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let v = n;
  let i = 0;
  while (Math.abs(v) >= 1024 && i < units.length - 1) {
    v /= 1024;
    i += 1;
  }
  return `${i === 0 || v >= 100 ? Math.round(v) : v.toFixed(1)} ${units[i]}`;
}

/** A number with its unit, as an attribute or a column declares it. */
export function quantity(value: number, unit: string | null | undefined, locale: Locale): string {
  if (unit === 'bytes' || unit === 'B') return bytes(value);
  if (unit === 'ms') return duration(value);
  if (unit === 's' || unit === 'seconds') return duration(value * 1000);
  const text = new Intl.NumberFormat(tag(locale)).format(value);
  if (!unit) return text;
  return unit === '%' || unit === 'percent' ? `${text}%` : `${text} ${unit}`;
}
