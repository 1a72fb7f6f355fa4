import { Button, Input } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Database, Link2, Plus, Search, Settings2 } from 'lucide-react';
import { api } from '../../api/endpoints';
import type { Model } from '../../api/types';
import { Clip, Empty, Icon, Loading, PageHead, ProblemNote } from '../../components/base';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { ModelIcon } from './ModelIcon';

const ORDER = ['resources', 'services', 'cloud', 'business', 'organisation'];

export default function Models() {
  const { t, tl, maybe } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const q = (url.q ?? '').toLowerCase();
  const shown = (models.data?.items ?? []).filter((m) => !q || `${m.name} ${tl(m.title)}`.toLowerCase().includes(q));
  const groups = new Map<string, Model[]>();
  for (const m of shown) groups.set(m.group, [...(groups.get(m.group) ?? []), m]);
  const rank = (g: string) => (ORDER.includes(g) ? ORDER.indexOf(g) : ORDER.length);
  const sorted = [...groups].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
  return (
    <div className="page">
      <PageHead
        title={t('nav.cmdb')}
        sub={t('cmdb.lead')}
        actions={
          <>
            <Input aria-label={t('list.search')} placeholder={t('list.search')} prefix={<Icon of={Search} />} allowClear style={{ width: 200 }} value={url.q ?? ''} onChange={(e) => setUrl({ q: e.target.value })} />
            <Button icon={<Icon of={Link2} />} onClick={() => void navigate({ to: '/association-kinds' })}>
              {t('kinds.title')}
            </Button>
            {can('cmdb.model') && (
              <Button icon={<Icon of={Plus} />} onClick={() => void navigate({ to: '/models/new' })}>
                {t('cmdb.newModel')}
              </Button>
            )}
          </>
        }
      />
      {models.error ? <ProblemNote error={models.error} retry={() => void models.refetch()} /> : null}
      {models.isPending && <Loading />}
      {models.data && shown.length === 0 && <Empty icon={Database} title={t('list.noMatch')} />}
      {sorted.map(([group, items]) => (
        <section key={group} className="stack tight">
          <h2 className="dim" style={{ fontSize: 13, fontWeight: 600 }}>
            {maybe(`group.${group}`, group)}
          </h2>
          <div className="tiles">
            {items.map((m) => (
              <div key={m.name} className="row" style={{ gap: 0, position: 'relative' }}>
                <Link to={`/cmdb/${m.name}`} className="tile grow">
                  <ModelIcon model={m} />
                  <span style={{ minWidth: 0 }}>
                    <Clip>{tl(m.title)}</Clip>
                    <div className="faint mono">
                      <Clip>{m.name}</Clip>
                    </div>
                  </span>
                  <span className="count">{m.count ?? ''}</span>
                </Link>
                {can('cmdb.model') && (
                  <Link to={`/models/${m.name}`} className="icon-btn" aria-label={t('cmdb.editModel', { name: tl(m.title) })} title={t('cmdb.attributes')}>
                    <Icon of={Settings2} />
                  </Link>
                )}
              </div>
            ))}
          </div>
        </section>
      ))}
    </div>
  );
}
