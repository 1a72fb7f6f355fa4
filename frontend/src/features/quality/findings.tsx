import { App } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Wrench } from 'lucide-react';
import { health, type Finding, type Repair } from '../../api/quality';
import { Chip, Icon, Panel, ProblemNote, type Tone } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n, type Key, type T } from '../../i18n';
import { useCan } from '../../session';
import { plain } from '../cmdb/values';

export function scoreTone(score: number): Tone {
  return score >= 90 ? 'ok' : score >= 70 ? 'warn' : 'bad';
}

const LACKS: Record<string, Key> = { associations: 'health.lacks.associations', owner: 'health.lacks.owner', use: 'health.lacks.use' };

/** What is wrong, in a line. */
export function detailText({ detail: d }: Finding, t: T): string {
  const list = (v: unknown) => (Array.isArray(v) ? v.map(String) : []);
  const parts = list(d.lacks).map((l) => (LACKS[l] ? t(LACKS[l]) : l));
  if (typeof d.association === 'string') parts.push(t('health.lacks.link', { kind: d.association }));
  if ('value' in d) parts.push(t('health.value', { value: plain(d.value), expected: plain(d.expected) }));
  else if (list(d.attributes).length > 0) parts.push(list(d.attributes).join(', '));
  if (list(d.sources).length > 0) parts.push(t('health.silent', { sources: list(d.sources).join(', ') }));
  if (typeof d.days === 'number') parts.push(t('health.unchanged', { n: d.days }));
  return parts.join('; ');
}

/** Mends after a look at what would be; only where a rule says that it can. */
export function RepairButton({ finding: f }: { finding: Finding }) {
  const { t } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const apply = useAct({ run: () => health.repair({ rule: f.rule, record: f.record, dry_run: false }), done: t('health.repaired'), stale: [['health'], ['cmdb']] });
  const look = useAct<void, Repair>({
    run: () => health.repair({ rule: f.rule, record: f.record, dry_run: true }),
    then: (r) =>
      modal.confirm({
        title: t('health.repairOf', { name: f.label }),
        okText: t('health.repair'),
        content: (
          <>
            {r.merged && <p>{t('health.wouldMerge')}</p>}
            <ul>
              {Object.keys(r.after).map((k) => (
                <li key={k}>
                  {k}: <span className="dim">{plain(r.before[k]) || t('sources.nothing')}</span> → {plain(r.after[k])}
                </li>
              ))}
            </ul>
          </>
        ),
        onOk: () => apply.mutateAsync().catch(() => {}),
      }),
  });
  if (f.detail.repairable !== true || !can('cmdb.write')) return null;
  return (
    <button type="button" className="icon-btn" disabled={look.isPending} aria-label={t('health.repairOf', { name: f.label })} title={t('health.repairOf', { name: f.label })} onClick={() => look.mutate()}>
      <Icon of={Wrench} />
    </button>
  );
}

/** A record's score and what is wrong with it, on its page. */
export function HealthPanel({ model, id }: { model: string; id: string }) {
  const { t, tl } = useI18n();
  const found = useQuery({ queryKey: ['health', 'record', model, id], queryFn: () => health.record(model, id) });
  const rules = useQuery({ queryKey: ['health', 'rules'], queryFn: health.rules });
  if (found.error) return <Panel title={t('health.title')}><ProblemNote error={found.error} /></Panel>;
  if (!found.data || found.data.score === null) return null;
  return (
    <Panel title={t('health.title')} actions={<Chip tone={scoreTone(found.data.score)}>{t('health.scoreOf', { n: found.data.score })}</Chip>}>
      {found.data.findings.length === 0 && <p className="dim">{t('health.allWell')}</p>}
      <ul>
        {found.data.findings.map((f) => (
          <li key={f.rule} className="row between wrap">
            <span>
              {tl(rules.data?.items.find((r) => r.id === f.rule)?.title) || f.rule}: <span className="dim">{detailText(f, t)}</span>
            </span>
            <RepairButton finding={f} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}
