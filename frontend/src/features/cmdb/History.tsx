import { Button } from 'antd';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { RotateCcw } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import { remodel } from '../../api/remodel';
import type { Change, Json, Model } from '../../api/types';
import { Chip, Icon, Loading, Panel, ProblemNote, Time, Who } from '../../components/base';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { RestoreDialog } from './Restore';
import { plain } from './values';

/** Which attributes differ between two states. */
export function differences(before: Record<string, Json> | null, after: Record<string, Json> | null): { name: string; before: Json | undefined; after: Json | undefined }[] {
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  return [...names]
    .map((name) => ({ name, before: before?.[name], after: after?.[name] }))
    .filter((d) => JSON.stringify(d.before ?? null) !== JSON.stringify(d.after ?? null));
}

/** Whether a record can be brought back as this change left it: not to what it is already, nor to its deletion. `current` is absent of a deleted one. */
export function restorable(c: Change, current: number | undefined): boolean {
  return c.after !== null && c.version !== current;
}

/** `version` is the record's own; absent when it is deleted. */
export function History({ model, id, label, version }: { model: Model; id: string; label: string; version?: number }) {
  const { t } = useI18n();
  const can = useCan();
  const [restoring, setRestoring] = useState<Change | null>(null);
  const history = useInfiniteQuery({
    queryKey: ['cmdb', 'history', model.name, id],
    queryFn: ({ pageParam }) => api.cmdb.history(model.name, id, { cursor: pageParam || undefined, limit: 20 }),
    initialPageParam: '',
    getNextPageParam: (p) => p.next_cursor ?? undefined,
  });
  const changes = history.data?.pages.flatMap((p) => p.items) ?? [];
  return (
    <Panel title={t('cmdb.history')}>
      {history.error ? <ProblemNote error={history.error} /> : null}
      {history.isPending && <Loading />}
      {history.data && changes.length === 0 && <p className="dim">{t('cmdb.noHistory')}</p>}
      <ol className="timeline">
        {changes.map((c) => (
          <ChangeItem key={c.seq} change={c} model={model} onRestore={can('cmdb.write') && restorable(c, version) ? () => setRestoring(c) : undefined} />
        ))}
      </ol>
      {history.hasNextPage && (
        <Button size="small" loading={history.isFetchingNextPage} onClick={() => void history.fetchNextPage()}>
          {t('list.more')}
        </Button>
      )}
      {restoring && <RestoreDialog model={model.name} id={id} label={label} version={restoring.version} deleted={version === undefined} onClose={() => setRestoring(null)} />}
    </Panel>
  );
}

/** A change request is a link to it. */
function Why({ why }: { why: string }) {
  const { t } = useI18n();
  const [, id] = /^change request ([0-9a-f-]{36})$/.exec(why) ?? [];
  return id ? <Link to={`/changes/${id}`}>{t('changes.link')}</Link> : <span>“{why}”</span>;
}

function ChangeItem({ change: c, model, onRestore }: { change: Change; model: Model; onRestore?: () => void }) {
  const { t, tl } = useI18n();
  const diff = differences(c.before, c.after);
  const created = !c.before;
  return (
    <li>
      <div className="row wrap" style={{ gap: '2px 10px' }}>
        <strong>{created ? t('change.created') : c.after ? t('change.updated') : t('change.deleted')}</strong>
        <span className="dim">
          <Who actor={c.actor} />
        </span>
        <Time at={c.at} />
        {c.why && <Why why={c.why} />}
        {onRestore && (
          <Button size="small" type="text" icon={<Icon of={RotateCcw} />} onClick={onRestore}>
            {t('restore.version')}
          </Button>
        )}
      </div>
      {created ? (
        <details>
          <summary className="dim">{t('cmdb.firstValues', { n: diff.length })}</summary>
          <Diff diff={diff} model={model} tl={tl} />
        </details>
      ) : (
        diff.length > 0 && <Diff diff={diff} model={model} tl={tl} />
      )}
    </li>
  );
}

function Diff({ diff, model, tl }: { diff: ReturnType<typeof differences>; model: Model; tl: ReturnType<typeof useI18n>['tl'] }) {
  const { t } = useI18n();
  const known = (name: string) => model.attributes.some((a) => a.name === name);
  // The model may have lost an attribute since.
  const removed = useQuery({ queryKey: ['cmdb', 'removed', model.name], queryFn: () => remodel.removed(model.name), enabled: diff.some((d) => !known(d.name)), staleTime: 60_000 });
  const gone = (name: string) => removed.data?.items.find((a) => a.name === name);
  return (
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
            <th scope="row">
              {tl((model.attributes.find((a) => a.name === d.name) ?? gone(d.name))?.title) || d.name}
              {!known(d.name) && (
                <>
                  {' '}
                  <Chip>{t('removed.mark')}</Chip>
                </>
              )}
            </th>
            <td className={plain(d.before) ? 'was' : undefined}>{long(d.before)}</td>
            <td className={plain(d.after) ? 'is' : undefined}>{long(d.after)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function long(v: Json | undefined): string {
  const text = plain(v);
  return text.length > 600 ? `${text.slice(0, 600)}…` : text;
}
