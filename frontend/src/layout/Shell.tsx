import { Drawer, Dropdown } from 'antd';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { CircleUserRound, Menu, Radio, Search, WifiOff } from 'lucide-react';
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { api } from '../api/endpoints';
import { liveState, startLive } from '../api/events';
import { Icon } from '../components/base';
import { useI18n } from '../i18n';
import { useCan, useSession } from '../session';
import { Bell } from './Bell';
import { Logo } from './Logo';
import { adminEntries, appEntries, groups, isCurrent, pluginEntries, pluginIcon, type NavEntry } from './nav';
import { Palette } from './Palette';
import { LanguageButton, ThemeButton } from './Tools';
import { usePlugins } from './usePlugins';

function Nav({ onNavigate }: { onNavigate?: () => void }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const path = useRouterState({ select: (s) => s.location.pathname });
  const plugins = usePlugins();
  const system = useQuery({ queryKey: ['system'], queryFn: api.system.get, staleTime: Infinity });
  const entry = (e: NavEntry) =>
    (!e.needs || can(e.needs)) && (
      <li key={e.to}>
        <Link to={e.to} className="nav-item" aria-current={isCurrent(e, path) ? 'page' : undefined} onClick={onNavigate} activeProps={{}}>
          <Icon of={e.icon} />
          <span className="clip">{t(e.title)}</span>
        </Link>
      </li>
    );
  const admin = adminEntries.map(entry).filter(Boolean);
  return (
    <nav className="nav" aria-label={t('nav.main')}>
      <Link to="/" className="brand" onClick={onNavigate}>
        <Logo />
        Plenum
      </Link>
      {groups.map((g) => (
        <div className="nav-group" key={g.title ?? 'home'}>
          {g.title && <div className="nav-title">{t(g.title)}</div>}
          <ul>{g.items.map(entry)}</ul>
        </div>
      ))}
      <div className="nav-group">
        <div className="nav-title">{t('nav.appsGroup')}</div>
        <ul>
          {pluginEntries(plugins.data?.items ?? []).map(({ plugin, page, to }) => (
            <li key={to}>
              <Link to={to} className="nav-item" aria-current={path === to || path.startsWith(`${to}/`) ? 'page' : undefined} onClick={onNavigate} activeProps={{}}>
                {page.icon || plugin.icon_url ? <img src={page.icon ?? plugin.icon_url ?? ''} alt="" /> : <Icon of={pluginIcon} />}
                <span className="clip" title={tl(page.title)}>
                  {plugin.pages.length > 1 && tl(page.title) !== tl(plugin.name) ? `${tl(plugin.name)}: ${tl(page.title)}` : tl(page.title) || tl(plugin.name)}
                </span>
              </Link>
            </li>
          ))}
          {appEntries.map(entry)}
        </ul>
      </div>
      {admin.length > 0 && (
        <div className="nav-group">
          <div className="nav-title">{t('nav.admin')}</div>
          <ul>{admin}</ul>
        </div>
      )}
      {system.data && (
        <div className="nav-foot">
          {system.data.version} · {system.data.database === 'sqlite' ? 'SQLite' : 'PostgreSQL'}
        </div>
      )}
    </nav>
  );
}

function Live() {
  const { t } = useI18n();
  const state = useSyncExternalStore(liveState.subscribe, liveState.get);
  const ok = state === 'open';
  const label = ok ? t('live.on') : state === 'connecting' ? t('live.connecting') : t('live.off');
  return (
    <span className="icon-btn" role="status" aria-label={label} title={label} style={{ cursor: 'default', color: ok ? 'var(--p-ok)' : state === 'connecting' ? 'var(--p-text-3)' : 'var(--p-warn)' }}>
      <Icon of={ok || state === 'connecting' ? Radio : WifiOff} />
    </span>
  );
}

export function Shell() {
  const { t } = useI18n();
  const session = useSession();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [drawer, setDrawer] = useState(false);
  const [palette, setPalette] = useState(false);
  const path = useRouterState({ select: (s) => s.location.pathname });
  const content = useRef<HTMLElement>(null);

  useEffect(() => startLive(client), [client]);
  useEffect(() => {
    const on = (e: KeyboardEvent) => {
      if ((e.metaKey || e.ctrlKey) && !e.shiftKey && !e.altKey && e.key.toLowerCase() === 'k') {
        e.preventDefault();
        setPalette((v) => !v);
      }
    };
    window.addEventListener('keydown', on);
    return () => window.removeEventListener('keydown', on);
  }, []);
  useEffect(() => {
    content.current?.scrollTo(0, 0);
  }, [path]);

  const signOut = async () => {
    // The pages go first and what they asked for comes in: a question after the end of the session would be refused.
    client.setQueryData(['session'], null);
    await new Promise((drawn) => setTimeout(drawn));
    await Promise.allSettled(client.getQueryCache().findAll({ fetchStatus: 'fetching' }).map((q) => q.promise));
    await api.session.signOut().catch(() => {});
    // A new document: nothing of this person stays in memory.
    window.location.assign('/');
  };
  const mac = /Mac|iPhone|iPad/.test(navigator.platform);

  return (
    <div className="shell">
      <a className="skip" href="#content">
        {t('nav.skip')}
      </a>
      <Nav />
      <Drawer open={drawer} onClose={() => setDrawer(false)} placement="left" size={240} closable={false} styles={{ body: { padding: 0 } }} aria-label={t('nav.main')}>
        <Nav onNavigate={() => setDrawer(false)} />
      </Drawer>
      <div className="main">
        <header className="top">
          <button type="button" className="icon-btn only-narrow" aria-label={t('nav.open')} onClick={() => setDrawer(true)}>
            <Icon of={Menu} />
          </button>
          <button type="button" className="find" onClick={() => setPalette(true)}>
            <Icon of={Search} />
            <span className="grow">{t('palette.open')}</span>
            <kbd className="only-wide">{mac ? '⌘K' : 'Ctrl K'}</kbd>
          </button>
          <span className="grow" />
          <Live />
          <Bell />
          <LanguageButton />
          <ThemeButton />
          <Dropdown
            trigger={['click']}
            placement="bottomRight"
            menu={{
              items: [
                { key: 'profile', label: t('nav.profile'), onClick: () => void navigate({ to: '/profile' }) },
                { type: 'divider' },
                { key: 'out', label: t('nav.signOut'), onClick: () => void signOut() },
              ],
            }}
          >
            <button type="button" className="icon-btn" aria-label={t('nav.account', { name: session.display_name || session.name })}>
              <Icon of={CircleUserRound} />
              <span className="only-wide clip" style={{ maxWidth: 140 }}>
                {session.display_name || session.name}
              </span>
            </button>
          </Dropdown>
        </header>
        <main ref={content} id="content" className={path.startsWith('/app/') ? 'content flush' : 'content'} tabIndex={-1}>
          <Outlet />
        </main>
      </div>
      {palette && <Palette onClose={() => setPalette(false)} />}
    </div>
  );
}
