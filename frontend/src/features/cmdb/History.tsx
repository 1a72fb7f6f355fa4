import { Button, Popconfirm } from 'antd';
import { useInfiniteQuery } from '@tanstack/react-query';
import { api } from '../../api/endpoints';
import type { Change, Json, Model } from '../../api/types';
import { Loading, Panel, ProblemNote, Time, Who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { plain } from './values';

/** Which attributes differ between two states. */
export function differences(before: Record<string, Json> | null, after: Record<string, Json> | null): { name: string; before: Json | undefined; after: Json | undefined }[] {
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  return [...names]
    .map((name) => ({ name, before: before?.[name], after: after?.[name] }))
    .filter((d) => JSON.stringify(d.before ?? null) !== JSON.stringify(d.after ?? null));
}

export function History({ model, id }: { model: Model; id: string }) {
  const { t } = useI18n();
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
        {changes.map((c, i) => (
          <ChangeItem key={c.seq} change={c} model={model} id={id} older={i > 0} />
        ))}
      </ol>
      {history.hasNextPage && (
        <Button size="small" loading={history.isFetchingNextPage} onClick={() => void history.fetchNextPage()}>
          {t('list.more')}
        </Button>
      )}
    </Panel>
  );
}

function ChangeItem({ change: c, model, id, older }: { change: Change; model: Model; id: string; older: boolean }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const restore = useAct({ run: () => api.cmdb.restore(model.name, id, c.version), done: t('cmdb.restored'), stale: [['cmdb']] });
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
        {c.why && <span>“{c.why}”</span>}
        {older && c.after && can('cmdb.write') && (
          <Popconfirm title={t('cmdb.restoreTitle', { n: c.version })} description={<div style={{ maxWidth: 320 }}>{t('cmdb.restoreText')}</div>} okText={t('cmdb.restore')} cancelText={t('action.cancel')} onConfirm={() => restore.mutate()}>
            <Button size="small" type="text" loading={restore.isPending}>
              {t('cmdb.restore')}
            </Button>
          </Popconfirm>
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
            <th scope="row">{tl(model.attributes.find((a) => a.name === d.name)?.title) || d.name}</th>
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
