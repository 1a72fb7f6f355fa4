import { Button } from 'antd';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { HeartPulse, Pencil, Play, Plus } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { health, type Finding, type HealthRule, type Score, type StoredRule } from '../../api/quality';
import { Chart } from '../../components/Chart';
import { Chip, Clip, Empty, Icon, Loading, Note, PageHead, Panel, ProblemNote, Time } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { detailText, RepairButton, scoreTone } from './findings';
import { RuleDialog } from './RuleDialog';

const SCOPES = ['model', 'business', 'team'] as const;
/** While a run is under way, how often it is looked at. */
const LOOK_MS = 2000;

export default function Health() {
  const { t, tl } = useI18n();
  const can = useCan();
  const client = useQueryClient();
  const [url, setUrl] = useUrl();
  const [editing, setEditing] = useState<HealthRule | 'new' | null>(null);
  const overview = useQuery({
    queryKey: ['health', 'overview'],
    queryFn: health.overview,
    refetchInterval: (q) => (busy(q.state.data?.run?.state) ? LOOK_MS : false),
  });
  const run = overview.data?.run;
  const was = useRef(run?.state);
  useEffect(() => {
    // What a run found is read again once it is over.
    if (busy(was.current) && !busy(run?.state)) void client.invalidateQueries({ queryKey: ['health'] });
    was.current = run?.state;
  }, [run?.state, client]);
  const scope = url.scope ?? 'all';
  const name = url.name ?? '';
  const trend = useQuery({ queryKey: ['health', 'trend', scope, name], queryFn: () => health.trend(scope, name) });
  const rules = useQuery({ queryKey: ['health', 'rules'], queryFn: health.rules });
  const start = useAct({ run: health.start, stale: [['health', 'overview']] });
  if (overview.error) return <ProblemNote error={overview.error} retry={() => void overview.refetch()} />;
  if (!overview.data) return <Loading />;
  const scores = overview.data.scores;
  const all = scores.find((s) => s.scope === 'all');
  const chosen = scores.find((s) => s.scope === scope && s.name === name) ?? all;
  const titles = new Map(rules.data?.items.map((r) => [r.id, tl(r.title) || r.id]));
  return (
    <div className="page">
      <PageHead
        title={t('health.title')}
        sub={
          run ? (
            <>
              {busy(run.state) ? t('health.running', { n: run.records }) : t('health.lastRun')} <Time at={run.finished_at ?? run.created_at} />
            </>
          ) : (
            t('health.never')
          )
        }
        actions={
          can('cmdb.write') && (
            <Button type="primary" icon={<Icon of={Play} />} loading={start.isPending || busy(run?.state)} onClick={() => start.mutate()}>
              {t('health.start')}
            </Button>
          )
        }
      />
      {run?.state === 'failed' && <Note tone="bad" title={t('health.failed')}>{run.error}</Note>}
      {!all ? (
        <Empty icon={HeartPulse} title={t('health.empty')} text={t('health.emptyText')} />
      ) : (
        <>
          <Panel title={`${chosen && chosen.scope !== 'all' ? chosen.label : t('health.whole')}: ${chosen?.score ?? '—'}`}>
            {trend.error ? <ProblemNote error={trend.error} /> : null}
            <Chart
              label={t('health.trend')}
              kind="area"
              x="time"
              series={[{ label: t('health.score'), tone: 'accent' }]}
              rows={(trend.data?.items ?? []).map((s) => ({ x: new Date(s.day).getTime(), values: [s.score] }))}
              format={(v) => String(Math.round(v))}
              height={140}
            />
            {scope !== 'all' && (
              <Button size="small" onClick={() => setUrl({ scope: undefined, name: undefined }, true)}>
                {t('health.whole')}
              </Button>
            )}
          </Panel>
          <div className="row wrap" style={{ alignItems: 'flex-start' }}>
            {SCOPES.map((s) => (
              <Scores key={s} title={t(`health.by.${s}`)} scores={scores.filter((x) => x.scope === s)} onChoose={(x) => setUrl({ scope: x.scope, name: x.name }, true)} />
            ))}
          </div>
        </>
      )}
      <Rules rules={rules.data?.items ?? []} error={rules.error} chosen={url.rule} onChoose={(r) => setUrl({ rule: r, cursor: undefined }, true)} onEdit={setEditing} />
      <Findings titles={titles} rule={url.rule} model={scope === 'model' ? name : undefined} />
      {editing !== null && <RuleDialog rule={editing === 'new' ? undefined : editing} onClose={() => setEditing(null)} />}
    </div>
  );
}

function busy(state: string | undefined): boolean {
  return state === 'waiting' || state === 'running';
}

function Scores({ title, scores, onChoose }: { title: string; scores: Score[]; onChoose: (s: Score) => void }) {
  const { t } = useI18n();
  return (
    <div style={{ flex: '1 1 260px', minWidth: 0 }}>
      <Panel title={title} flush>
        {scores.length === 0 && <p className="dim" style={{ padding: 12 }}>{t('health.none')}</p>}
        <ul style={{ maxHeight: 260, overflowY: 'auto' }}>
          {scores.map((s) => (
            <li key={s.name} className="row between" style={{ padding: '4px 12px' }}>
              <button type="button" className="icon-btn" style={{ padding: 0, height: 'auto', width: 'auto', minWidth: 0, color: 'var(--p-accent)' }} onClick={() => onChoose(s)}>
                <Clip width={180}>{s.label}</Clip>
              </button>
              <span className="row">
                <span className="faint">{t('health.records', { n: s.records })}</span>
                <Chip tone={scoreTone(s.score)}>{s.score}</Chip>
              </span>
            </li>
          ))}
        </ul>
      </Panel>
    </div>
  );
}

function Rules({ rules, error, chosen, onChoose, onEdit }: { rules: StoredRule[]; error: unknown; chosen?: string; onChoose: (id: string | undefined) => void; onEdit: (r: HealthRule | 'new') => void }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const may = can('cmdb.model');
  return (
    <Panel
      title={t('health.rules')}
      flush
      actions={
        may && (
          <button type="button" className="icon-btn" aria-label={t('health.newRule')} title={t('health.newRule')} onClick={() => onEdit('new')}>
            <Icon of={Plus} />
          </button>
        )
      }
    >
      {error ? <div style={{ padding: 12 }}><ProblemNote error={error} /></div> : null}
      <ul>
        {rules.map((r) => (
          <li key={r.id} className="row between wrap" style={{ padding: '4px 12px' }}>
            <button
              type="button"
              className="icon-btn"
              aria-pressed={chosen === r.id}
              style={{ padding: 0, height: 'auto', width: 'auto', color: 'var(--p-accent)', fontWeight: chosen === r.id ? 600 : undefined }}
              onClick={() => onChoose(chosen === r.id ? undefined : r.id)}
            >
              {tl(r.title) || r.id}
            </button>
            <span className="row">
              <span className="faint">{r.models.length > 0 ? r.models.join(', ') : t('precedence.any')}</span>
              {r.enabled ? <Chip tone={r.findings > 0 ? 'warn' : 'ok'}>{t('health.found', { n: r.findings })}</Chip> : <Chip>{t('health.off')}</Chip>}
              {may && (
                <button type="button" className="icon-btn" aria-label={t('health.editRule', { name: tl(r.title) || r.id })} title={t('health.editRule', { name: tl(r.title) || r.id })} onClick={() => onEdit(r)}>
                  <Icon of={Pencil} />
                </button>
              )}
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Findings({ titles, rule, model }: { titles: Map<string, string>; rule?: string; model?: string }) {
  const { t } = useI18n();
  const columns: ListColumn<Finding>[] = [
    {
      key: 'record',
      title: t('reviews.record'),
      text: (f) => f.label,
      render: (f) => (
        <Link to={`/cmdb/${f.model}/${f.record}`}>
          <Clip width={260}>{f.label}</Clip>
        </Link>
      ),
    },
    { key: 'model', title: t('cmdb.model'), text: (f) => f.model, render: (f) => <Clip mono>{f.model}</Clip> },
    { key: 'rule', title: t('health.rule'), text: (f) => f.rule, render: (f) => <Clip width={220}>{titles.get(f.rule) ?? f.rule}</Clip> },
    { key: 'detail', title: t('health.wrong'), text: (f) => detailText(f, t), render: (f) => <Clip width={320}>{detailText(f, t)}</Clip> },
    { key: 'owner', title: t('health.owner'), text: (f) => f.owner ?? '', render: (f) => f.owner && <Clip width={160}>{f.owner}</Clip> },
    { key: 'since', title: t('health.since'), text: (f) => f.since, render: (f) => <Time at={f.since} /> },
    { key: 'act', title: '', render: (f) => <RepairButton finding={f} /> },
  ];
  return (
    <ResourceList<Finding>
      id="findings"
      label={t('health.findings')}
      queryKey={['health', 'findings', rule ?? '', model ?? '']}
      load={(q) => health.findings({ rule, model, cursor: q.cursor, limit: q.limit })}
      columns={columns}
      rowKey={(f) => `${f.rule}/${f.record}`}
      exportName="data-quality"
      empty={<Empty icon={HeartPulse} title={t('health.allWell')} />}
    />
  );
}
