import { Badge, Button, Popover } from 'antd';
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Bell as BellIcon } from 'lucide-react';
import { useState } from 'react';
import { api } from '../api/endpoints';
import type { Notification } from '../api/types';
import { Empty, Icon, Loading, ProblemNote, Time } from '../components/base';
import { useI18n } from '../i18n';

const TONE: Record<string, string> = { info: 'info', success: 'ok', warning: 'warn', error: 'bad' };

/** What apps told the person who looks: how many are unread, and on a click all of them. */
export function Bell() {
  const { t } = useI18n();
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  // Asked for now and then, and at once when an event says that somebody was told something.
  const told = useInfiniteQuery({
    queryKey: ['notifications'],
    queryFn: ({ pageParam }) => api.notifications.list({ limit: 20, cursor: pageParam }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    refetchInterval: 60_000,
  });
  const again = () => client.invalidateQueries({ queryKey: ['notifications'] });
  const unread = told.data?.pages[0]?.unread ?? 0;
  const items = told.data?.pages.flatMap((p) => p.items) ?? [];
  const read = async (id?: string) => {
    await (id ? api.notifications.read(id) : api.notifications.readAll()).catch(() => {});
    await again();
  };
  const content = (
    <div className="stack" style={{ width: 'min(360px, calc(100vw - 48px))' }}>
      <div className="row">
        <h2 className="sub-title grow" style={{ margin: 0 }}>
          {t('bell.title')}
        </h2>
        {unread > 0 && (
          <Button size="small" onClick={() => void read()}>
            {t('bell.readAll')}
          </Button>
        )}
      </div>
      {told.error ? <ProblemNote error={told.error} retry={() => void told.refetch()} /> : null}
      {told.isPending && <Loading />}
      {told.data && items.length === 0 && <Empty icon={BellIcon} title={t('bell.none')} text={t('bell.noneText')} />}
      {items.length > 0 && (
        <ul tabIndex={0} aria-label={t('bell.title')} style={{ listStyle: 'none', margin: 0, padding: 0, maxHeight: '60vh', overflow: 'auto' }}>
          {items.map((n) => (
            <li key={n.id} style={{ padding: '8px 0', borderTop: '1px solid var(--p-border)' }}>
              <Told n={n} onRead={() => void read(n.id)} close={() => setOpen(false)} />
            </li>
          ))}
        </ul>
      )}
      {told.hasNextPage && (
        <Button size="small" loading={told.isFetchingNextPage} onClick={() => void told.fetchNextPage()}>
          {t('bell.more')}
        </Button>
      )}
    </div>
  );
  return (
    <Popover trigger="click" placement="bottomRight" open={open} onOpenChange={setOpen} content={content}>
      <button type="button" className="icon-btn" aria-label={t('bell.open', { n: unread })} title={t('bell.title')} aria-expanded={open}>
        <Badge count={unread} size="small" overflowCount={99}>
          <Icon of={BellIcon} />
        </Badge>
      </button>
    </Popover>
  );
}

function Told({ n, onRead, close }: { n: Notification; onRead: () => void; close: () => void }) {
  const { t } = useI18n();
  const act = () => {
    if (!n.read_at) onRead();
  };
  return (
    <>
      <div className="row" style={{ alignItems: 'baseline' }}>
        {!n.read_at && <span className={`chip ${TONE[n.level] ?? 'info'}`}>{t('bell.unread')}</span>}
        {n.link ? (
          <Link
            to={n.link}
            className="grow"
            style={{ overflowWrap: 'anywhere', fontWeight: n.read_at ? 400 : 600 }}
            onClick={() => {
              act();
              close();
            }}
          >
            {n.title}
          </Link>
        ) : (
          <button type="button" className="link grow" style={{ overflowWrap: 'anywhere', fontWeight: n.read_at ? 400 : 600, textAlign: 'start' }} onClick={act}>
            {n.title}
          </button>
        )}
      </div>
      {n.body && <p style={{ margin: '4px 0', whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>{n.body}</p>}
      <span className="dim">
        {n.plugin} · <Time at={n.at} />
      </span>
    </>
  );
}
