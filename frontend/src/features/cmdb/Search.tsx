import { Alert, Button, Input } from 'antd';
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { SearchX } from 'lucide-react';
import { useEffect, useState } from 'react';
import { api } from '../../api/endpoints';
import type { SearchHit } from '../../api/types';
import { Chip, Empty, Loading, PageHead, Panel, ProblemNote } from '../../components/base';
import { useDebounced } from '../../components/FilterInput';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { matchText } from './matched';

/** Free text over all records, the best first. */
export default function Search() {
  const { t, tl } = useI18n();
  const [url, setUrl] = useUrl();
  const [text, setText] = useState(url.q ?? '');
  const asked = useDebounced(text.trim(), 250);
  const model = url.model;
  useEffect(() => {
    if (asked !== (url.q ?? '')) setUrl({ q: asked || undefined, model: undefined });
    // eslint-disable-next-line react-hooks/exhaustive-deps -- what was typed leads, the URL follows
  }, [asked]);
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const title = (name: string) => tl(models.data?.items.find((m) => m.name === name)?.title) || name;
  const found = useInfiniteQuery({
    queryKey: ['cmdb', 'search', 'page', asked, model],
    queryFn: ({ pageParam, signal }) => api.cmdb.search(asked, { model, cursor: pageParam, limit: 25 }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (p) => p.next_cursor ?? undefined,
    enabled: asked.length > 0,
    placeholderData: keepPreviousData,
  });
  // Counted over all models, so that another can be chosen.
  const all = useQuery({ queryKey: ['cmdb', 'search', 'counts', asked], queryFn: ({ signal }) => api.cmdb.search(asked, { limit: 1 }, signal), enabled: asked.length > 0 && Boolean(model) });
  const first = found.data?.pages[0];
  const counted = model ? all.data : first;
  const total = counted?.counts.reduce((n, c) => n + c.count, 0) ?? 0;
  const hits = found.data?.pages.flatMap((p) => p.items) ?? [];
  const choice = (name: string | undefined, label: string) => (
    <Button key={name ?? ''} size="small" type={model === name ? 'primary' : 'default'} aria-pressed={model === name} onClick={() => setUrl({ model: name }, true)}>
      {label}
    </Button>
  );
  return (
    <div className="page">
      <PageHead title={t('search.title')} sub={t('search.lead')} crumbs={[{ label: t('nav.cmdb'), to: '/cmdb' }]} />
      <Input.Search autoFocus allowClear value={text} maxLength={200} aria-label={t('search.title')} placeholder={t('search.placeholder')} onChange={(e) => setText(e.target.value)} loading={found.isFetching} />
      {first?.building && <Alert type="info" showIcon title={t('search.building')} />}
      {found.error ? <ProblemNote error={found.error} retry={() => void found.refetch()} /> : null}
      {asked && counted && counted.counts.length > 0 && (
        <div className="row" role="group" aria-label={t('search.models')} style={{ flexWrap: 'wrap' }}>
          {choice(undefined, t(counted.more ? 'search.everyMore' : 'search.every', { n: total }))}
          {counted.counts.map((c) => choice(c.model, `${title(c.model)} (${c.count})`))}
        </div>
      )}
      {!asked && <Empty icon={SearchX} title={t('search.ask')} />}
      {asked && found.isPending && <Loading />}
      {asked && first && hits.length === 0 && <Empty icon={SearchX} title={t('search.none')} text={t('search.noneText')} />}
      {asked && hits.length > 0 && (
        <Panel
          flush
          title={t('search.results')}
          footer={
            found.hasNextPage ? (
              <Button loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
                {t('search.more')}
              </Button>
            ) : hits.length >= 400 ? (
              <span className="faint">{t('search.end', { n: hits.length })}</span>
            ) : undefined
          }
        >
          <ul className="hits" aria-label={t('search.results')}>
            {hits.map((h) => (
              <HitRow key={h.id} hit={h} model={title(h.model)} />
            ))}
          </ul>
        </Panel>
      )}
    </div>
  );
}

function HitRow({ hit, model }: { hit: SearchHit; model: string }) {
  const { tl } = useI18n();
  const where = matchText(hit, tl);
  return (
    <li>
      <Link to="/cmdb/$model/$id" params={{ model: hit.model, id: hit.id }}>
        {hit.label}
      </Link>{' '}
      <Chip>{model}</Chip>
      {where && <div className="faint">{where}</div>}
    </li>
  );
}
