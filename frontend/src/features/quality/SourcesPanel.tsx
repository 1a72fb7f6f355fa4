import { App } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Undo2 } from 'lucide-react';
import { useState } from 'react';
import { quality, type SourceValue } from '../../api/quality';
import type { Model } from '../../api/types';
import { Chip, Icon, Panel, ProblemNote, Time } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { AttributeValue } from '../cmdb/values';
import { sourceName } from './parts';

/** Where a record's values come from. What the sources say otherwise stands first; the rest is there on demand. */
export function SourcesPanel({ model, id }: { model: Model; id: string }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const [all, setAll] = useState(false);
  const found = useQuery({ queryKey: ['cmdb', 'sources', model.name, id], queryFn: () => quality.recordSources(model.name, id) });
  const withdraw = useAct<{ source: string; attribute: string }>({
    run: (v) => quality.withdraw(model.name, id, v.source, v.attribute),
    done: t('sources.withdrawn'),
    stale: [['cmdb']],
  });
  const attributes = found.data?.attributes ?? [];
  const conflicts = attributes.filter((a) => a.conflict);
  const shown = all ? attributes : conflicts;
  return (
    <Panel
      title={t('sources.title')}
      flush
      actions={
        attributes.length > conflicts.length && (
          <button type="button" className="icon-btn" style={{ width: 'auto', padding: '0 6px' }} aria-expanded={all} onClick={() => setAll(!all)}>
            {all ? t('sources.conflictsOnly') : t('sources.all')}
          </button>
        )
      }
    >
      {found.error ? <div style={{ padding: 12 }}><ProblemNote error={found.error} /></div> : null}
      {found.data && (
        <ul style={{ padding: '8px 12px' }}>
          {found.data.sources.map((s) => (
            <li key={s.source} className="row between wrap">
              <span title={s.external_id ?? undefined}>{sourceName(s.source, t)}</span>
              <span className="dim">
                {s.vanished_at ? <Chip tone="warn">{t('sources.vanished')}</Chip> : s.stale ? <Chip tone="warn">{t('sources.stale')}</Chip> : null} <Time at={s.last_seen} />
              </span>
            </li>
          ))}
          {found.data.sources.length === 0 && <li className="dim">{t('sources.onlyPeople')}</li>}
        </ul>
      )}
      {found.data && conflicts.length === 0 && found.data.sources.length > 1 && !all && <p className="dim" style={{ padding: '0 12px 10px' }}>{t('sources.agree')}</p>}
      {shown.map((a) => {
        const attribute = model.attributes.find((x) => x.name === a.attribute);
        if (!attribute) return null;
        const value = (v: SourceValue) => (v.value === null ? <span className="faint">{t('sources.nothing')}</span> : <AttributeValue attribute={attribute} value={v.value} compact />);
        return (
          <div key={a.attribute} style={{ padding: '6px 12px', borderTop: '1px solid var(--p-border)' }}>
            <div className="faint" style={{ fontSize: 12 }}>
              {tl(attribute.title) || a.attribute} {a.conflict && <Chip tone="warn">{t('sources.conflict')}</Chip>}
            </div>
            {a.values.map((v) => (
              <div key={v.source} className="row between wrap">
                <span style={v.counts ? { fontWeight: 600 } : undefined}>{value(v)}</span>
                <span className="row dim">
                  <span>{sourceName(v.source, t)}</span>
                  {v.counts && a.values.length > 1 && <Chip tone="ok">{t('sources.counts')}</Chip>}
                  {v.stale && <Chip tone="warn">{t('sources.stale')}</Chip>}
                  <Time at={v.at} />
                  {can('cmdb.write') && a.values.length > 1 && (
                    <button
                      type="button"
                      className="icon-btn"
                      aria-label={t('sources.withdraw', { source: sourceName(v.source, t), attribute: tl(attribute.title) || a.attribute })}
                      title={t('sources.withdraw', { source: sourceName(v.source, t), attribute: tl(attribute.title) || a.attribute })}
                      onClick={() =>
                        modal.confirm({
                          title: t('sources.withdraw', { source: sourceName(v.source, t), attribute: tl(attribute.title) || a.attribute }),
                          content: t('sources.withdrawText'),
                          onOk: () => withdraw.mutateAsync({ source: v.source, attribute: a.attribute }).catch(() => {}),
                        })
                      }
                    >
                      <Icon of={Undo2} />
                    </button>
                  )}
                </span>
              </div>
            ))}
          </div>
        );
      })}
    </Panel>
  );
}
