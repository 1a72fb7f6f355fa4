import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { en } from './en';
import { zh } from './zh';

export type Locale = 'en' | 'zh';
export type Key = keyof typeof en;
/** A text that the host or a plugin gives, in one language or in several. */
export type Text = string | { en?: string; zh?: string; [lang: string]: string | undefined } | null | undefined;
export type Params = Record<string, string | number>;
export type T = (key: Key, params?: Params) => string;

const KEY = 'plenum.locale';
const catalogs: Record<Locale, Record<Key, string>> = { en, zh };

interface I18n {
  locale: Locale;
  setLocale: (l: Locale) => void;
  t: T;
  /** The text in the reader's language, else in English, else in whatever there is. */
  tl: (text: Text) => string;
  /** Whether `key` is one of ours: for names that the host sends (statuses, permissions). */
  maybe: (key: string, fallback: string) => string;
}

/** The locale as a BCP 47 tag: what the document and the pages of plugins are told. */
export function languageTag(locale: Locale): 'en' | 'zh-CN' {
  return locale === 'zh' ? 'zh-CN' : 'en';
}

const Ctx = createContext<I18n | null>(null);

export function translate(locale: Locale, key: Key, params?: Params): string {
  const text = catalogs[locale][key] ?? key;
  return params ? text.replace(/\{(\w+)\}/g, (all, name: string) => (name in params ? String(params[name]) : all)) : text;
}

export function localized(locale: Locale, text: Text): string {
  if (text == null) return '';
  if (typeof text === 'string') return text;
  return text[locale] ?? text.en ?? Object.values(text).find((v) => v) ?? '';
}

function initial(): Locale {
  const v = localStorage.getItem(KEY);
  if (v === 'en' || v === 'zh') return v;
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

export function I18nProvider({ children, locale: fixed }: { children: ReactNode; locale?: Locale }) {
  const [locale, set] = useState<Locale>(fixed ?? initial);
  useEffect(() => {
    document.documentElement.lang = languageTag(locale);
  }, [locale]);
  const setLocale = useCallback((l: Locale) => {
    localStorage.setItem(KEY, l);
    set(l);
  }, []);
  const value = useMemo<I18n>(
    () => ({
      locale,
      setLocale,
      t: (key, params) => translate(locale, key, params),
      tl: (text) => localized(locale, text),
      maybe: (key, fallback) => (key in en ? translate(locale, key as Key) : fallback),
    }),
    [locale, setLocale],
  );
  return <Ctx.Provider value={value}>{children}</Ctx.Provider>;
}

export function useI18n(): I18n {
  const v = useContext(Ctx);
  if (!v) throw new Error('useI18n outside I18nProvider');
  return v;
}
