import { Button, Input, Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { RotateCw } from 'lucide-react';
import { api } from '../../api/endpoints';
import { Empty, Icon, Loading, Panel, ProblemNote } from '../../components/base';
import { absoluteTime } from '../../components/format';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';

const LEVELS = ['debug', 'info', 'warn', 'error'];

/** What an app wrote to its log, newest first. */
export function AppLogs({ id }: { id: string }) {
  const { t, locale } = useI18n();
  const [url, setUrl] = useUrl();
  const logs = useQuery({ queryKey: ['plugins', 'logs', id, url.level ?? '', url.q ?? ''], queryFn: () => api.plugins.logs(id, { limit: 500, level: url.level, search: url.q }), refetchInterval: 3000 });
  const items = logs.data?.items ?? [];
  return (
    <Panel
      flush
      title={t('apps.logs')}
      actions={
        <>
          <Input.Search aria-label={t('list.search')} placeholder={t('list.search')} size="small" allowClear defaultValue={url.q} style={{ width: 180 }} onSearch={(q) => setUrl({ q })} />
          <Select
            aria-label={t('apps.level')}
            size="small"
            allowClear
            placeholder={t('apps.level')}
            style={{ width: 120 }}
            value={url.level}
            options={LEVELS.map((l) => ({ value: l, label: l }))}
            onChange={(level?: string) => setUrl({ level })}
          />
          <Button size="small" type="text" aria-label={t('list.refresh')} icon={<Icon of={RotateCw} />} onClick={() => void logs.refetch()} />
        </>
      }
    >
      {logs.error ? <div style={{ padding: 12 }}><ProblemNote error={logs.error} /></div> : null}
      {logs.isPending && <Loading />}
      {logs.data && items.length === 0 && <Empty title={t('apps.noLogs')} text={t('apps.noLogsText')} />}
      {items.length > 0 && (
        <pre className="term" tabIndex={0} aria-label={t('apps.logs')} style={{ border: 0, maxHeight: '64vh', whiteSpace: 'pre-wrap' }}>
          {items.map((l, i) => (
            <div key={i} className={l.level === 'error' ? 'err' : undefined}>
              <span className="faint">{absoluteTime(new Date(l.at), locale)}</span> <span className="dim">{l.level.padEnd(5)}</span> {l.message}
              {l.fields !== null && Object.keys(l.fields).length > 0 && <span className="faint"> {JSON.stringify(l.fields)}</span>}
              {l.call && (
                <button type="button" className="icon-btn mono" style={{ height: 18, padding: '0 4px', color: 'var(--p-text-3)' }} title={t('apps.sameCall')} onClick={() => setUrl({ q: l.call })}>
                  {l.call.slice(-8)}
                </button>
              )}
            </div>
          ))}
        </pre>
      )}
    </Panel>
  );
}
