import { App, Button, Modal, Progress } from 'antd';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { RotateCcw } from 'lucide-react';
import { useEffect, useState } from 'react';
import { remodel, type ModelChange, type ModelReport } from '../../api/remodel';
import type { Attribute, Model } from '../../api/types';
import { Icon, Note, Panel, ProblemNote, Time, Who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n, type Key } from '../../i18n';
import { useCan } from '../../session';
import { plain } from './values';

const open = (c: ModelChange | undefined) => c?.state === 'waiting' || c?.state === 'running';

/** Whether there is anything to be said before it is done. */
export function harmless(c: ModelChange): boolean {
  return c.state === 'checked' && c.report.broken === 0 && Object.values(c.report.attributes).every((a) => !a.converted && !a.removed && !a.restored && a.problems.length === 0);
}

/** Whether mending would let the change through. */
export function mendable(r: ModelReport): boolean {
  return Object.values(r.attributes).every((a) => a.problems.every((p) => p.mend !== null));
}

/** What a change does, before it is made; then how far it is. */
export function ChangeDialog({ first, attributes, run, onClose, onDone }: { first: ModelChange; attributes: Attribute[]; run: (misfits: 'refuse' | 'mend') => Promise<ModelChange>; onClose: () => void; onDone: () => void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const client = useQueryClient();
  const [change, setChange] = useState(first);
  const asked = useQuery({
    queryKey: ['cmdb', 'model-change', change.id],
    queryFn: () => remodel.change(change.id),
    initialData: change,
    refetchInterval: (q) => (open(q.state.data) ? 1000 : false),
    enabled: open(change),
  });
  const now = open(change) ? asked.data : change;
  const act = useAct<'refuse' | 'mend', ModelChange>({ run, then: setChange });
  const cancel = useAct({ run: () => remodel.cancel(now.id), done: t('remodel.cancelled'), then: onClose });
  const done = now.state === 'done';
  useEffect(() => {
    if (!done) return;
    void message.success(t('remodel.done'));
    void client.invalidateQueries({ queryKey: ['cmdb'] });
    onDone();
    // Once, when it becomes done.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [done]);
  const checked = now.state === 'checked';
  const broken = now.report.broken > 0;
  const canMend = broken && mendable(now.report);
  return (
    <Modal
      open
      width={760}
      title={t('remodel.title')}
      onCancel={onClose}
      footer={
        <>
          {open(now) && (
            <Button danger loading={cancel.isPending} onClick={() => cancel.mutate()}>
              {t('remodel.cancel')}
            </Button>
          )}
          <Button onClick={onClose}>{t('action.close')}</Button>
          {checked && canMend && (
            <Button danger loading={act.isPending} onClick={() => act.mutate('mend')}>
              {t('remodel.mend')}
            </Button>
          )}
          {checked && !broken && (
            <Button type="primary" loading={act.isPending} onClick={() => act.mutate('refuse')}>
              {t('remodel.refuse')}
            </Button>
          )}
        </>
      }
    >
      {asked.error ? <ProblemNote error={asked.error} /> : null}
      {open(now) && (
        <div aria-live="polite">
          <p>{t('remodel.checking')}</p>
          <Progress percent={now.report.records ? Math.floor((100 * now.report.checked) / now.report.records) : 0} aria-label={t('remodel.checking')} />
          <p className="dim">
            {t('remodel.progress', { checked: now.report.checked, records: now.report.records })}. {t('remodel.background')}
          </p>
        </div>
      )}
      {(now.state === 'refused' || now.state === 'failed' || now.state === 'cancelled') && (
        <Note tone="bad" title={t('remodel.refused')}>
          {now.error}
        </Note>
      )}
      <ReportView report={now.report} model={now.model} attributes={attributes} />
      {checked && canMend && <Note tone="warn">{t('remodel.mendHint')}</Note>}
      {checked && broken && !canMend && <Note tone="bad">{t('remodel.byHand')}</Note>}
    </Modal>
  );
}

export function ReportView({ report, model, attributes }: { report: ModelReport; model: string; attributes: Attribute[] }) {
  const { t, tl, maybe } = useI18n();
  const title = (name: string) =>
    name
      .split('+')
      .map((n) => tl(attributes.find((a) => a.name === n)?.title) || n)
      .join(' + ');
  const rows = Object.entries(report.attributes).flatMap(([name, a]) => a.problems.map((p) => ({ name, ...p })));
  const moved = Object.entries(report.attributes).filter(([, a]) => a.converted || a.removed || a.restored);
  return (
    <>
      <div className="stats">
        {(['records', 'rewritten', 'broken'] as const).map((k) => (
          <div key={k}>
            <span className="v">{report[k]}</span>
            <span className="k">{t(`remodel.${k}`)}</span>
          </div>
        ))}
      </div>
      {moved.length > 0 && (
        <ul>
          {moved.map(([name, a]) => (
            <li key={name}>
              <strong>{title(name)}</strong>: {(['converted', 'removed', 'restored'] as const).filter((k) => a[k]).map((k) => t(`remodel.${k}` as Key, { n: a[k] })).join('; ')}
            </li>
          ))}
        </ul>
      )}
      {rows.length === 0 && report.checked >= report.records && <p>{t('remodel.fits')}</p>}
      {rows.length > 0 && (
        <div className="table-wrap">
          <table className="t stacked">
            <thead>
              <tr>
                <th scope="col">{t('cmdb.attribute')}</th>
                <th scope="col">{t('remodel.rule')}</th>
                <th scope="col">{t('remodel.count')}</th>
                <th scope="col">{t('remodel.examples')}</th>
                <th scope="col">{t('remodel.mended')}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((r) => (
                <tr key={`${r.name}/${r.rule}/${r.mend}`}>
                  <td className="first">{title(r.name)}</td>
                  <td data-label={t('remodel.rule')}>{maybe(`remodel.rule.${r.rule}`, r.rule)}</td>
                  <td data-label={t('remodel.count')} className="num">
                    {r.count}
                  </td>
                  <td data-label={t('remodel.examples')} style={{ overflowWrap: 'anywhere' }}>
                    {r.examples.slice(0, 5).map((e) => (
                      <div key={e.id} title={e.message}>
                        <Link to={`/cmdb/${model}/${e.id}`} target="_blank">
                          {e.label}
                        </Link>
                        {e.value === null ? '' : `: ${plain(e.value)}`}
                      </div>
                    ))}
                  </td>
                  <td data-label={t('remodel.mended')}>{t(`remodel.mend.${r.mend ?? 'none'}` as Key)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** Attributes that the model no longer has, and the way back. */
export function RemovedPanel({ model }: { model: Model }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const removed = useQuery({ queryKey: ['cmdb', 'removed', model.name], queryFn: () => remodel.removed(model.name) });
  const [asking, setAsking] = useState<{ name: string; change: ModelChange } | null>(null);
  const restore = useAct<string, ModelChange>({
    run: (name) => remodel.restore(model.name, name, { dry_run: true, misfits: 'refuse' }),
    then: (change, name) => setAsking({ name, change }),
  });
  if (removed.error) return <ProblemNote error={removed.error} />;
  const items = removed.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Panel title={t('removed.title')} flush>
      <div className="table-wrap">
        <table className="t stacked">
          <thead>
            <tr>
              <th scope="col">{t('cmdb.attribute')}</th>
              <th scope="col">{t('removed.values')}</th>
              <th scope="col">{t('removed.by')}</th>
              <th scope="col">
                <span className="vh">{t('removed.back')}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {items.map((a) => (
              <tr key={a.name}>
                <td className="first">
                  {tl(a.title) || a.name} <code>{a.name}</code>
                </td>
                <td data-label={t('removed.values')} className="num">
                  {a.values}
                </td>
                <td data-label={t('removed.by')}>
                  <Who actor={a.removed_by} /> <Time at={a.removed_at} />
                </td>
                <td className="num" data-label="">
                  {can('cmdb.model') && (
                    <Button size="small" icon={<Icon of={RotateCcw} />} loading={restore.isPending && restore.variables === a.name} aria-label={t('removed.restore', { name: a.name })} onClick={() => restore.mutate(a.name)}>
                      {t('removed.back')}
                    </Button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {asking && (
        <ChangeDialog
          first={asking.change}
          attributes={[...model.attributes, ...items]}
          run={(misfits) => remodel.restore(model.name, asking.name, { dry_run: false, misfits })}
          onClose={() => setAsking(null)}
          onDone={() => setAsking(null)}
        />
      )}
    </Panel>
  );
}
