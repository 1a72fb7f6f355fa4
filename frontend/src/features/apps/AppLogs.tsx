import { Button, Input, Select, Switch } from 'antd';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { RotateCw } from 'lucide-react';
import { useEffect, useState } from 'react';
import { BASE } from '../../api/client';
import { api } from '../../api/endpoints';
import { openStream } from '../../api/sse';
import type { Json, Page, PluginLog } from '../../api/types';
import { Empty, Icon, Loading, Panel, ProblemNote } from '../../components/base';
import { absoluteTime } from '../../components/format';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';

const LEVELS = ['debug', 'info', 'warn', 'error'];
/** Lines that are shown. */
const MOST = 500;

function parsed(text: string): PluginLog[] {
  try {
    return JSON.parse(text) as PluginLog[];
  } catch {
    return [];
  }
}

/** Whether a line is one of those that are asked for, as the host decides it. */
export function fits(l: PluginLog, level: string, search: string): boolean {
  const word = search.toLowerCase();
  const grave = LEVELS.indexOf(l.level) >= Math.max(0, LEVELS.indexOf(level));
  return grave && (!word || l.call === search || l.message.toLowerCase().includes(word) || JSON.stringify(l.fields).toLowerCase().includes(word));
}

/** What an app wrote to its log, newest first, as it is written. */
export function AppLogs({ id }: { id: string }) {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const [live, setLive] = useState(true);
  const client = useQueryClient();
  const level = url.level ?? '';
  const q = url.q ?? '';
  const logs = useQuery({ queryKey: ['plugins', 'logs', id, level, q], queryFn: () => api.plugins.logs(id, { limit: MOST, level: url.level, search: url.q }) });
  useEffect(() => {
    if (!live) return;
    const key = ['plugins', 'logs', id, level, q];
    const again = () => void client.invalidateQueries({ queryKey: key });
    return openStream({
      url: `${BASE}/plugins/${encodeURIComponent(id)}/logs/stream`,
      onMessage: (m) => {
        // What was written before the stream began, or got lost on its way, is in the log.
        if (m.event === 'open' || m.event === 'missed') return again();
        if (m.event !== 'lines') return;
        const lines = parsed(m.data).filter((l) => fits(l, level, q)).reverse();
        if (lines.length > 0) client.setQueryData<Page<PluginLog>>(key, (old) => (old ? { ...old, items: [...lines, ...old.items].slice(0, MOST) } : old));
      },
    });
  }, [client, id, level, q, live]);
  const items = logs.data?.items ?? [];
  return (
    <Panel
      flush
      title={t('apps.logs')}
      actions={
        <>
          <span className="row">
            <Switch size="small" checked={live} onChange={setLive} aria-label={t('apps.live')} />
            <span aria-hidden="true">{t('apps.live')}</span>
          </span>
          {/* A search that came by a link or a click shows in the field. */}
          <Input.Search key={url.q ?? ''} aria-label={t('apps.searchLog')} placeholder={t('apps.searchLog')} size="small" allowClear defaultValue={url.q} style={{ width: 220 }} onSearch={(q) => setUrl({ q })} />
          <Select
            aria-label={t('apps.level')}
            size="small"
            allowClear
            placeholder={t('apps.level')}
            style={{ width: 120 }}
            value={url.level}
            options={LEVELS.map((l) => ({ value: l, label: t(`level.${l}` as 'level.info') }))}
            onChange={(level?: string) => setUrl({ level })}
          />
          <Button size="small" type="text" aria-label={t('list.refresh')} icon={<Icon of={RotateCw} />} onClick={() => void logs.refetch()} />
        </>
      }
    >
      {logs.error ? <div style={{ padding: 12 }}><ProblemNote error={logs.error} /></div> : null}
      {logs.isPending && <Loading />}
      {logs.data &&
        items.length === 0 &&
        (url.q || url.level ? (
          <Empty title={t('list.noMatch')} text={t('list.noMatchText')}>
            <Button onClick={() => setUrl({ q: undefined, level: undefined })}>{t('list.clear')}</Button>
          </Empty>
        ) : (
          <Empty title={t('apps.noLogs')} text={t('apps.noLogsText')} />
        ))}
      {items.length > 0 && <LogLines items={items} label={t('apps.logs')} tall onCall={(q) => setUrl({ q })} />}
    </Panel>
  );
}

/** Lines of a log: time, level, message, fields, and the call that wrote them. */
export function LogLines({ items, label, tall, onCall }: { items: Pick<PluginLog, 'at' | 'level' | 'message' | 'fields' | 'call'>[]; label: string; tall?: boolean; onCall?: (call: string) => void }) {
  const { t, locale } = useI18n();
  return (
    <pre className="term log" tabIndex={0} aria-label={label} role="log" aria-live="off" style={tall ? { border: 0, maxHeight: '64vh' } : undefined}>
      {items.map((l, i) => (
        <div key={i} className={l.level}>
          {l.at && <span className="faint">{absoluteTime(new Date(l.at), locale)} </span>}
          {l.level && <span className="level">{l.level.padEnd(5)} </span>}
          {l.message}
          <Fields value={l.fields} />
          {l.call && onCall && (
            <button type="button" className="icon-btn mono call" aria-label={`${t('apps.sameCall')} ${l.call.slice(-8)}`} title={t('apps.sameCall')} onClick={() => onCall(l.call)}>
              {l.call.slice(-8)}
            </button>
          )}
        </div>
      ))}
    </pre>
  );
}

/** What a line carries beside its message; a text of many lines, such as a backtrace, is folded. */
function Fields({ value }: { value: Json }) {
  if (value === null || typeof value !== 'object') return null;
  const all = Object.entries(value);
  const long = all.filter((e): e is [string, string] => typeof e[1] === 'string' && e[1].includes('\n'));
  const short = all.filter(([k]) => !long.some(([name]) => name === k));
  return (
    <>
      {short.length > 0 && <span className="dim"> {JSON.stringify(Object.fromEntries(short))}</span>}
      {long.map(([k, text]) => (
        <details key={k} className="dim">
          <summary>{k}</summary>
          {text}
        </details>
      ))}
    </>
  );
}
