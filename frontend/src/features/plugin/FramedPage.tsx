import { App, Button } from 'antd';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { BASE } from '../../api/client';
import { onEvent } from '../../api/events';
import type { Plugin, PluginPage } from '../../api/types';
import { Loading, Note } from '../../components/base';
import { saveFile } from '../../components/csv';
import { languageTag, useI18n } from '../../i18n';
import { useSession } from '../../session';
import { useTheme } from '../../theme';
import { cssVariables } from '../../tokens';
import { openBridge, type BridgeContext } from './bridge';
import { grantedTypes } from './grant';

const MAX_RELOADS = 5;

interface Props {
  plugin: Plugin;
  page: PluginPage;
  path: string;
  onPath: (path: string, replace: boolean) => void;
}

/** A plugin's own page in its sandbox. A page that navigates its frame elsewhere is put back to where it belongs. */
export function FramedPage(props: Props) {
  const { t } = useI18n();
  const [round, setRound] = useState(0);
  if (round > MAX_RELOADS) {
    return (
      <div style={{ padding: 16 }}>
        <Note tone="bad" title={t('plugin.leaves')}>
          <p>{t('plugin.leavesText')}</p>
          <Button size="small" onClick={() => setRound(0)}>
            {t('action.retry')}
          </Button>
        </Note>
      </div>
    );
  }
  return <Frame key={`${props.page.url}#${round}`} {...props} onLeft={() => setRound((n) => n + 1)} />;
}

function Frame({ plugin, page, path, onPath, onLeft }: Props & { onLeft: () => void }) {
  const { t, tl, locale } = useI18n();
  const { mode } = useTheme();
  const session = useSession();
  const navigate = useNavigate();
  const { message } = App.useApp();
  const frame = useRef<HTMLIFrameElement>(null);
  const bridge = useRef<ReturnType<typeof openBridge> | null>(null);
  const loads = useRef(0);
  const [loaded, setLoaded] = useState(false);
  const [silent, setSilent] = useState(false);
  // The bridge outlives renders: it reads what is current from here.
  const now = useRef({ plugin, path, onPath, navigate, message, locale, mode, session });
  const shownPath = useRef(path);
  useEffect(() => {
    now.current = { plugin, path, onPath, navigate, message, locale, mode, session };
  });

  useEffect(() => {
    const el = frame.current;
    if (!el) return;
    const context = (): BridgeContext => {
      const n = now.current;
      return {
        user: { id: n.session.id, name: n.session.name, display_name: n.session.display_name, role: n.session.role },
        locale: languageTag(n.locale),
        theme: n.mode,
        plugin: n.plugin.id,
        path: n.path,
        tokens: cssVariables(n.mode),
      };
    };
    const b = openBridge({
      frame: el,
      plugin: now.current.plugin.id,
      base: BASE,
      context,
      grantedTypes: () => grantedTypes(now.current.plugin),
      onEvent,
      navigate: (to) => void now.current.navigate({ to: to as never }),
      setPath: (p, replace) => {
        shownPath.current = p.replace(/^\/+/, '');
        now.current.onPath(shownPath.current, replace);
      },
      notify: (level, text) => void now.current.message[level](text),
      download: saveFile,
    });
    bridge.current = b;
    const timer = setTimeout(() => setSilent(!b.connected()), 8000);
    return () => {
      clearTimeout(timer);
      b.close();
      bridge.current = null;
    };
  }, []);

  useEffect(() => bridge.current?.contextChanged(), [mode, locale]);
  useEffect(() => {
    // Back, forward or a link: the page has to follow. Its own setPath needs no echo.
    if (path === shownPath.current) return;
    shownPath.current = path;
    bridge.current?.contextChanged();
  }, [path]);

  return (
    <div style={{ height: '100%', display: 'flex', flexDirection: 'column' }}>
      <h1 className="vh">{tl(page.title) || tl(plugin.name)}</h1>
      {silent && (
        <div style={{ padding: 8 }}>
          <Note tone="warn" title={t('plugin.silent')}>
            {t('plugin.silentText')}
          </Note>
        </div>
      )}
      {!loaded && <Loading />}
      <iframe
        ref={frame}
        className="plugin-frame"
        style={loaded ? undefined : { height: 0 }}
        title={tl(page.title) || tl(plugin.name)}
        src={page.url}
        sandbox="allow-scripts allow-downloads allow-forms allow-modals"
        referrerPolicy="no-referrer"
        onLoad={() => {
          loads.current += 1;
          setLoaded(true);
          // A second document in the frame is not the one that the bridge was opened for.
          if (loads.current > 1) onLeft();
        }}
      />
    </div>
  );
}
