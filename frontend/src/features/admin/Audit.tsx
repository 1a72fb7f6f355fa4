import { Drawer, Input } from 'antd';
import { History } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { AuditEntry, Json } from '../../api/types';
import { Clip, Empty, JsonView, PageHead, Status, Time } from '../../components/base';
import { absoluteTime } from '../../components/format';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { isObject } from '../../components/SchemaForm';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { differences } from '../cmdb/History';

export default function Audit() {
  const { t, locale } = useI18n();
  const [url, setUrl] = useUrl();
  const [open, setOpen] = useState<AuditEntry | null>(null);
  const columns: ListColumn<AuditEntry>[] = [
    {
      key: 'at',
      title: t('audit.at'),
      text: (a) => a.at,
      render: (a) => (
        <button type="button" className="icon-btn" style={{ padding: 0, height: 'auto', color: 'var(--p-accent)' }} title={t('audit.openEntry', { n: a.seq })} onClick={() => setOpen(a)}>
          {absoluteTime(new Date(a.at), locale)}
        </button>
      ),
    },
    { key: 'actor', title: t('audit.actor'), text: (a) => a.actor, render: (a) => <Clip width={240}>{a.actor}</Clip> },
    { key: 'action', title: t('audit.action'), text: (a) => a.action, render: (a) => <Clip mono width={240}>{a.action}</Clip> },
    { key: 'target', title: t('audit.target'), text: (a) => a.target, render: (a) => <Clip mono width={280}>{a.target}</Clip> },
    {
      key: 'allowed',
      title: t('audit.result'),
      text: (a) => (a.allowed ? 'allowed' : 'refused'),
      render: (a) => <Status value={a.allowed ? 'succeeded' : 'rejected'} label={a.allowed ? t('audit.allowed') : t('audit.refused')} />,
    },
    { key: 'reason', title: t('audit.reason'), text: (a) => a.reason ?? '', render: (a) => a.reason && <Clip width={300}>{a.reason}</Clip> },
  ];
  return (
    <div className="page">
      <PageHead title={t('nav.audit')} sub={t('audit.lead')} />
      <div className="row wrap">
        {(['actor', 'action', 'target'] as const).map((f) => (
          <Input.Search key={f} aria-label={t(`audit.${f}`)} placeholder={t(`audit.${f}.hint`)} defaultValue={url[f]} allowClear style={{ width: 230 }} onSearch={(v) => setUrl({ [f]: v.trim(), cursor: undefined }, true)} />
        ))}
      </div>
      <ResourceList<AuditEntry>
        id="audit"
        label={t('nav.audit')}
        queryKey={['audit', url.actor ?? '', url.action ?? '', url.target ?? '']}
        load={(q) => api.audit.list({ cursor: q.cursor, limit: q.limit, actor: url.actor, action: url.action, target: url.target })}
        columns={columns}
        rowKey={(a) => String(a.seq)}
        exportName="audit"
        empty={<Empty icon={History} title={t('audit.empty')} text={url.actor || url.action || url.target ? t('audit.emptyFilter') : undefined} />}
      />
      <Drawer open={open !== null} onClose={() => setOpen(null)} size={Math.min(640, window.innerWidth)} title={open?.action}>
        {open && <EntryView entry={open} />}
      </Drawer>
    </div>
  );
}

function EntryView({ entry: a }: { entry: AuditEntry }) {
  const { t } = useI18n();
  const diff = isObject(a.before) || isObject(a.after) ? differences(record(a.before), record(a.after)) : null;
  return (
    <div className="stack">
      <dl className="kv one">
        {(
          [
            ['audit.at', <Time key="t" at={a.at} both />],
            ['audit.actor', a.actor],
            ['audit.target', a.target],
            ['audit.result', a.allowed ? t('audit.allowed') : t('audit.refused')],
            ['audit.reason', a.reason ?? '—'],
          ] as const
        ).map(([k, v]) => (
          <div key={k}>
            <dt>{t(k)}</dt>
            <dd>{v}</dd>
          </div>
        ))}
      </dl>
      {diff && diff.length > 0 && (
        <table className="diff">
          <thead>
            <tr>
              <th scope="col">{t('cmdb.attribute')}</th>
              <th scope="col">{t('cmdb.before')}</th>
              <th scope="col">{t('cmdb.after')}</th>
            </tr>
          </thead>
          <tbody>
            {diff.map((d) => (
              <tr key={d.name}>
                <th scope="row">{d.name}</th>
                <td className={d.before === undefined ? undefined : 'was'}>{text(d.before)}</td>
                <td className={d.after === undefined ? undefined : 'is'}>{text(d.after)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {!diff && (a.before !== null || a.after !== null) && <JsonView value={{ before: a.before, after: a.after }} />}
    </div>
  );
}

function record(v: Json): Record<string, Json> | null {
  return isObject(v) ? v : null;
}

function text(v: Json | undefined): string {
  if (v === undefined || v === null) return '';
  return typeof v === 'object' ? JSON.stringify(v) : String(v);
}
