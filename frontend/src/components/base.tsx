/** Small parts that every page uses. */
import { Button, Tooltip } from 'antd';
import { Link } from '@tanstack/react-router';
import { AlertTriangle, CheckCircle2, Copy, Info, OctagonAlert, type LucideIcon } from 'lucide-react';
import { useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from 'react';
import { Problem } from '../api/client';
import { useI18n, type Key, type T } from '../i18n';
import { absoluteTime, duration, relativeTime } from './format';

export function Icon({ of: Of }: { of: LucideIcon }) {
  return <Of className="ic" aria-hidden="true" focusable="false" />;
}

/** Text on one line; when it is cut off, the whole is shown on hover. */
export function Clip({ children, mono, width }: { children: string | number | null | undefined; mono?: boolean; width?: number }) {
  const ref = useRef<HTMLSpanElement>(null);
  const text = children == null ? '' : String(children);
  return (
    <span
      ref={ref}
      className={mono ? 'clip mono' : 'clip'}
      style={width ? { maxWidth: width } : undefined}
      onMouseEnter={() => {
        const el = ref.current;
        if (el) el.title = el.scrollWidth > el.clientWidth ? text : '';
      }}
    >
      {text}
    </span>
  );
}

/** Who did it, in the reader's language. The host names principals in English words; those stay as the title, for the audit log is searched by them. */
export function Who({ actor }: { actor: string }) {
  const { t } = useI18n();
  return <span title={actor}>{who(actor, t)}</span>;
}

export function who(actor: string, t: T): string {
  const [, plugin, user] = /^plugin ([a-z0-9-]+)(?: for (.+))?$/.exec(actor) ?? [];
  if (plugin && user) return t('who.pluginFor', { plugin, user });
  if (plugin) return t('who.plugin', { plugin });
  if (/^agent \S+$/.test(actor)) return t('who.agent');
  if (/^system \S+$/.test(actor)) return t('who.system');
  return actor;
}

// One clock for all relative times of the page.
let now = Date.now();
const tickers = new Set<() => void>();
let clock: ReturnType<typeof setInterval> | undefined;
function subscribe(f: () => void) {
  tickers.add(f);
  clock ??= setInterval(() => {
    now = Date.now();
    tickers.forEach((g) => g());
  }, 10_000);
  return () => {
    tickers.delete(f);
    if (tickers.size === 0) {
      clearInterval(clock);
      clock = undefined;
    }
  };
}

/** A moment: how long ago, and exactly when on hover. `both` writes the two. */
export function Time({ at, both }: { at: string | null | undefined; both?: boolean }) {
  const { locale } = useI18n();
  const tick = useSyncExternalStore(subscribe, () => now);
  if (!at) return <span className="faint">—</span>;
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return <span>{at}</span>;
  const absolute = absoluteTime(date, locale);
  const relative = relativeTime(date, Math.max(tick, Date.now() - 10_000), locale);
  if (both)
    return (
      <time dateTime={at}>
        <span className="nowrap">{absolute}</span> <span className="dim nowrap">({relative})</span>
      </time>
    );
  return (
    <Tooltip title={absolute}>
      <time dateTime={at} className="nowrap">
        {relative}
      </time>
    </Tooltip>
  );
}

export type Tone = 'ok' | 'bad' | 'warn' | 'info' | 'idle';

const tones: Record<string, { tone: Tone; shape?: 'hollow' | 'square'; live?: boolean }> = {
  online: { tone: 'ok' },
  active: { tone: 'ok' },
  succeeded: { tone: 'ok' },
  enabled: { tone: 'ok' },
  running: { tone: 'info', live: true },
  compiling: { tone: 'info', live: true },
  waiting: { tone: 'warn', shape: 'hollow', live: true },
  waiting_approval: { tone: 'warn', shape: 'hollow', live: true },
  pending: { tone: 'idle', shape: 'hollow' },
  skipped: { tone: 'idle', shape: 'hollow' },
  partial: { tone: 'warn', shape: 'square' },
  timed_out: { tone: 'bad', shape: 'square' },
  lost: { tone: 'bad', shape: 'hollow' },
  rejected: { tone: 'bad', shape: 'hollow' },
  failed: { tone: 'bad', shape: 'square' },
  quarantined: { tone: 'bad', shape: 'hollow' },
  offline: { tone: 'bad', shape: 'hollow' },
  cancelled: { tone: 'idle', shape: 'square' },
  stopped: { tone: 'idle', shape: 'square' },
  disabled: { tone: 'idle', shape: 'hollow' },
  revoked: { tone: 'idle', shape: 'square' },
  unknown: { tone: 'idle', shape: 'hollow' },
};

export function toneOf(status: string): Tone {
  return tones[status]?.tone ?? 'idle';
}

/** A state as a mark whose shape and colour both speak, and its word. `service` marks a machine's own service: there "running" is at rest. */
export function Status({ value, label, still }: { value: string; label?: string; still?: boolean }) {
  const { maybe } = useI18n();
  let s = tones[value] ?? { tone: 'idle' as Tone };
  if (still && value === 'running') s = { tone: 'ok' };
  return (
    <span className={['st', `st-${s.tone}`, s.shape ?? '', s.live && !still ? 'live' : ''].join(' ')}>
      <i aria-hidden="true" />
      {label ?? maybe(`status.${value}`, value)}
    </span>
  );
}

export function Chip({ tone, children, title }: { tone?: Tone | 'accent'; children: ReactNode; title?: string }) {
  return (
    <span className={`chip ${tone ?? ''}`} title={title}>
      {children}
    </span>
  );
}

const noteIcons = { bad: OctagonAlert, warn: AlertTriangle, info: Info, ok: CheckCircle2 };

export function Note({ tone, title, children }: { tone: 'bad' | 'warn' | 'info' | 'ok'; title?: ReactNode; children?: ReactNode }) {
  return (
    <div className={`note ${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
      <Icon of={noteIcons[tone]} />
      <div className="grow">
        {title && <strong>{title}</strong>}
        {children}
      </div>
    </div>
  );
}

/** Title and detail of any error, in words. */
export function useProblemText(): (e: unknown) => { title: string; detail: string; code: string } {
  const { t } = useI18n();
  return (e) => {
    if (e instanceof Problem) {
      if (e.status === 0) return { title: t('problem.unreachable'), detail: t('problem.unreachable.advice'), code: '' };
      const fallback: Record<number, Key> = { 403: 'problem.forbidden', 404: 'problem.notFound', 409: 'problem.conflict', 412: 'problem.conflict' };
      const key = fallback[e.status];
      return { title: e.title || (key ? t(key) : t('problem.failed')), detail: e.detail, code: e.code };
    }
    return { title: t('problem.failed'), detail: e instanceof Error ? e.message : String(e), code: '' };
  };
}

export function ProblemNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useI18n();
  const text = useProblemText();
  if (!error) return null;
  const { title, detail, code } = text(error);
  const errors = error instanceof Problem ? error.errors : [];
  const pointer = error instanceof Problem ? error.pointer : undefined;
  return (
    <Note tone="bad" title={title}>
      {detail && <div>{detail}</div>}
      {errors.length > 0 && (
        <ul>
          {errors.map((e) => (
            <li key={e.pointer + e.detail}>
              <code>{e.pointer}</code> {e.detail}
            </li>
          ))}
        </ul>
      )}
      {(code || pointer) && (
        <div className="dim">
          <code>{[code, pointer].filter(Boolean).join('  ')}</code>
        </div>
      )}
      {retry && (
        <Button size="small" onClick={retry} style={{ marginTop: 6 }}>
          {t('action.retry')}
        </Button>
      )}
    </Note>
  );
}

export function Loading() {
  const { t } = useI18n();
  const [late, setLate] = useState(false);
  // Fast answers need no spinner: it would only flicker.
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div className="loading" role="status" style={late ? undefined : { visibility: 'hidden' }}>
      {t('loading')}
    </div>
  );
}

export function Empty({ icon, title, text, children }: { icon?: LucideIcon; title: string; text?: ReactNode; children?: ReactNode }) {
  return (
    <div className="empty">
      {icon && <Icon of={icon} />}
      <strong>{title}</strong>
      {text && <p>{text}</p>}
      {children && <div className="acts">{children}</div>}
    </div>
  );
}

export interface Crumb {
  label: string;
  to?: string;
}

export function PageHead({ title, crumbs, sub, actions }: { title: ReactNode; crumbs?: Crumb[]; sub?: ReactNode; actions?: ReactNode }) {
  const { t } = useI18n();
  useEffect(() => {
    if (typeof title === 'string') document.title = `${title} · Plenum`;
  }, [title]);
  return (
    <div className="page-head">
      <div className="lead">
        {crumbs && crumbs.length > 0 && (
          <nav aria-label={t('nav.breadcrumbs')}>
            <ol className="crumbs">
              {crumbs.map((c) => (
                <li key={c.label}>{c.to ? <Link to={c.to}>{c.label}</Link> : c.label}</li>
              ))}
            </ol>
          </nav>
        )}
        <h1>{title}</h1>
        {sub && <div className="sub">{sub}</div>}
      </div>
      {actions && <div className="acts">{actions}</div>}
    </div>
  );
}

export function Panel({ title, actions, children, flush, footer }: { title?: ReactNode; actions?: ReactNode; children: ReactNode; flush?: boolean; footer?: ReactNode }) {
  return (
    <section className="panel">
      {title && (
        <header>
          <h2>{title}</h2>
          {actions}
        </header>
      )}
      {flush ? children : <div className="body">{children}</div>}
      {footer && <footer>{footer}</footer>}
    </section>
  );
}

/** Tabs that are pages of their own, so that each can be linked to. */
export function TabLine({ items, label }: { items: { to: string; label: string; exact?: boolean }[]; label: string }) {
  return (
    <nav className="tabs-line" aria-label={label}>
      {items.map((i) => (
        <Link key={i.to} to={i.to} activeOptions={{ exact: i.exact ?? true, includeSearch: false }} activeProps={{ 'aria-current': 'page' }}>
          {i.label}
        </Link>
      ))}
    </nav>
  );
}

export function CopyBox({ text, label }: { text: string; label: string }) {
  const { t } = useI18n();
  const [done, setDone] = useState(false);
  return (
    <div className="copy-box">
      <pre className="code wrap" style={{ paddingRight: 44 }}>
        {text}
      </pre>
      <button
        type="button"
        className="icon-btn"
        aria-label={`${t('action.copy')}: ${label}`}
        onClick={() => {
          void copyText(text).then((ok) => setDone(ok));
        }}
      >
        <Icon of={done ? CheckCircle2 : Copy} />
      </button>
    </div>
  );
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain HTTP has no clipboard API.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    const ok = document.execCommand('copy');
    area.remove();
    return ok;
  }
}

export function JsonView({ value }: { value: unknown }) {
  if (value === undefined || value === null) return <span className="faint">—</span>;
  return <pre className="code wrap" tabIndex={0}>{typeof value === 'string' ? value : JSON.stringify(value, null, 2)}</pre>;
}

/** How long something took, or takes so far. */
export function Elapsed({ from, to, ms }: { from: string | null | undefined; to?: string | null; ms?: number | null }) {
  const [tick, setTick] = useState(() => Date.now());
  const live = Boolean(from) && !to;
  useEffect(() => {
    if (!live) return;
    const timer = setInterval(() => setTick(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [live]);
  if (!from) return <span className="faint">—</span>;
  const value = to ? (ms ?? Date.parse(to) - Date.parse(from)) : Math.max(0, tick - Date.parse(from));
  return <span className="nowrap">{duration(live ? Math.floor(value / 1000) * 1000 || value : value)}</span>;
}
