/** Ctrl-K: every page and every record, by typing. */
import { Modal } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { CalendarClock, Database, FilePlus2, GitCommitHorizontal, Play, Search, type LucideIcon } from 'lucide-react';
import { useEffect, useId, useMemo, useRef, useState } from 'react';
import { api } from '../api/endpoints';
import { Icon } from '../components/base';
import { useDebounced } from '../components/FilterInput';
import { useI18n } from '../i18n';
import { matchText } from '../features/cmdb/matched';
import { useCan } from '../session';
import { adminEntries, appEntries, groups, pluginEntries, pluginIcon } from './nav';
import { usePlugins } from './usePlugins';

interface Option {
  key: string;
  label: string;
  detail?: string;
  icon: LucideIcon;
  to: string;
}

/** All words of the query occur in the text. */
export function matchesWords(text: string, query: string): boolean {
  const t = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((w) => t.includes(w));
}

export function Palette({ onClose }: { onClose: () => void }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const plugins = usePlugins();
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const id = useId();
  const asked = useDebounced(text.trim(), 150);
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models, enabled: can('cmdb.read') });
  const search = useQuery({
    queryKey: ['cmdb', 'search', asked],
    queryFn: ({ signal }) => api.cmdb.search(asked, { limit: 12 }, signal),
    enabled: asked.length > 0 && can('cmdb.read'),
    placeholderData: (old) => old,
    retry: false,
  });

  const pages = useMemo<Option[]>(() => {
    const all = [...groups.flatMap((g) => g.items), ...appEntries, ...adminEntries].filter((e) => !e.needs || can(e.needs));
    const out: Option[] = all.map((e) => ({ key: e.to, label: t(e.title), icon: e.icon, to: e.to }));
    if (can('jobs.run')) out.push({ key: 'run', label: t('jobs.runScript'), icon: Play, to: '/jobs/run' });
    if (can('workflow.read')) {
      out.push({ key: 'runs', label: t('workflows.runs'), icon: GitCommitHorizontal, to: '/runs' });
      out.push({ key: 'schedules', label: t('workflows.schedules'), icon: CalendarClock, to: '/schedules' });
    }
    if (can('cmdb.model')) out.push({ key: 'model', label: t('cmdb.newModel'), icon: FilePlus2, to: '/models/new' });
    for (const e of pluginEntries(plugins.data?.items ?? [])) {
      out.push({ key: e.to, label: tl(e.page.title) || tl(e.plugin.name), detail: tl(e.plugin.name), icon: pluginIcon, to: e.to });
    }
    for (const m of models.data?.items ?? []) out.push({ key: `m/${m.name}`, label: tl(m.title), detail: m.name, icon: Database, to: `/cmdb/${m.name}` });
    return out;
  }, [can, models.data, plugins.data, t, tl]);

  const foundPages = text.trim() ? pages.filter((o) => matchesWords(`${o.label} ${o.detail ?? ''} ${o.to}`, text.trim())) : pages;
  const records: Option[] = asked
    ? (search.data?.items ?? []).map((h) => ({
        key: `${h.model}/${h.id}`,
        label: h.label,
        detail: [matchText(h, tl), tl(models.data?.items.find((m) => m.name === h.model)?.title) || h.model].filter(Boolean).join(' · '),
        icon: Database,
        to: `/cmdb/${encodeURIComponent(h.model)}/${encodeURIComponent(h.id)}`,
      }))
    : [];
  if (records.length > 0) records.push({ key: 'all', label: t('search.all'), icon: Search, to: `/search?q=${encodeURIComponent(asked)}` });
  const options = [...foundPages, ...records];
  const current = Math.min(at, options.length - 1);

  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' });
  }, [current]);

  const go = (o: Option | undefined) => {
    if (!o) return;
    onClose();
    void navigate({ href: o.to });
  };
  const row = (o: Option, i: number) => (
    <li key={o.key} id={`${id}-${i}`} role="option" aria-selected={i === current} className="opt" onMouseMove={() => setAt(i)} onClick={() => go(o)}>
      <Icon of={o.icon} />
      <span className="clip" title={o.label}>
        {o.label}
      </span>
      {o.detail && o.detail !== o.label && <span className="faint clip" title={o.detail}>{o.detail}</span>}
    </li>
  );
  return (
    <Modal open onCancel={onClose} footer={null} closable={false} width={580} style={{ top: 70 }} styles={{ container: { padding: 0, overflow: 'hidden' } }} title={null} destroyOnHidden>
      <div className="palette">
        <input
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls={id}
          aria-activedescendant={options.length ? `${id}-${current}` : undefined}
          aria-label={t('palette.open')}
          placeholder={t('palette.placeholder')}
          value={text}
          onChange={(e) => {
            setText(e.target.value);
            setAt(0);
          }}
          onKeyDown={(e) => {
            if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
              e.preventDefault();
              const n = options.length;
              if (n) setAt((current + (e.key === 'ArrowDown' ? 1 : n - 1)) % n);
            } else if (e.key === 'Enter' && !e.nativeEvent.isComposing) {
              go(options[current]);
            }
          }}
        />
        <ul id={id} ref={list} role="listbox" aria-label={t('palette.results')}>
          {foundPages.length > 0 && (
            <li role="presentation" className="sec">
              {t('palette.pages')}
            </li>
          )}
          {foundPages.map((o, i) => row(o, i))}
          {records.length > 0 && (
            <li role="presentation" className="sec">
              {t('palette.records')}
            </li>
          )}
          {records.map((o, i) => row(o, foundPages.length + i))}
          {options.length === 0 && (
            <li role="presentation" className="sec">
              {search.isFetching ? t('loading') : t('palette.none')}
            </li>
          )}
        </ul>
      </div>
    </Modal>
  );
}
