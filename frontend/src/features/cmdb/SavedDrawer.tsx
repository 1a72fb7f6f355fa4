/** Filters that are kept, and groups: applied, made of the filter that is there, deleted. */
import { Button, Checkbox, Drawer, Input, Popconfirm } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Trash2 } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Model } from '../../api/types';
import { Icon, Loading, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';

export function SavedDrawer({ model, open, onClose }: { model: Model; open: boolean; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [url, setUrl] = useUrl();
  const can = useCan();
  const [name, setName] = useState('');
  const [shared, setShared] = useState(false);
  const [group, setGroup] = useState('');
  const filter = url.filter ?? '';
  const kept = useQuery({ queryKey: ['cmdb', 'filters', model.name], queryFn: () => api.cmdb.filters(model.name), enabled: open });
  const groups = useQuery({ queryKey: ['cmdb', 'groups', model.name], queryFn: () => api.cmdb.groups(model.name), enabled: open });
  const stale = [['cmdb', 'filters', model.name], ['cmdb', 'groups', model.name]];
  const keep = useAct({ run: () => api.cmdb.keepFilter(model.name, { name: name.trim(), filter, shared }), stale, done: t('query.kept'), then: () => setName('') });
  const make = useAct({ run: () => api.cmdb.putGroup(group.trim(), { model: model.name, filter, version: 0 }), stale, done: t('query.groupMade'), then: () => setGroup('') });
  const forget = useAct({ run: (id: string) => api.cmdb.forgetFilter(id), stale });
  const drop = useAct({ run: (n: string) => api.cmdb.deleteGroup(n), stale });
  const apply = (f: string) => {
    setUrl({ filter: f, cursor: undefined }, true);
    onClose();
  };
  const problem = kept.error ?? groups.error;
  return (
    <Drawer open={open} onClose={onClose} size={Math.min(520, window.innerWidth)} title={t('query.saved')} destroyOnHidden>
      <div className="stack">
        {problem ? <ProblemNote error={problem} /> : !kept.data || !groups.data ? <Loading /> : null}
        <section className="stack tight" aria-label={t('query.filters')}>
          <h3>{t('query.filters')}</h3>
          {kept.data?.items.length === 0 && <span className="faint">{t('query.noFilters')}</span>}
          {kept.data?.items.map((f) => (
            <div key={f.id} className="saved-row">
              <button type="button" className="link-btn clip" title={f.filter} onClick={() => apply(f.filter)}>
                {f.name}
              </button>
              <span className="faint">{f.mine ? (f.shared ? t('query.isShared') : '') : f.owner}</span>
              {(f.mine || can('users.manage')) && (
                <Popconfirm title={t('query.forget', { name: f.name })} onConfirm={() => forget.mutate(f.id)} okText={t('action.delete')} cancelText={t('action.cancel')}>
                  <Button size="small" type="text" icon={<Icon of={Trash2} />} aria-label={t('query.forget', { name: f.name })} />
                </Popconfirm>
              )}
            </div>
          ))}
          {filter ? (
            <form
              className="row wrap"
              onSubmit={(e) => {
                e.preventDefault();
                if (name.trim()) keep.mutate();
              }}
            >
              <Input value={name} maxLength={80} aria-label={t('query.filterName')} placeholder={t('query.filterName')} onChange={(e) => setName(e.target.value)} style={{ flex: '1 1 160px' }} />
              {can('cmdb.write') && (
                <Checkbox checked={shared} onChange={(e) => setShared(e.target.checked)}>
                  {t('query.share')}
                </Checkbox>
              )}
              <Button htmlType="submit" loading={keep.isPending} disabled={!name.trim()}>
                {t('query.keep')}
              </Button>
            </form>
          ) : (
            <span className="faint">{t('query.setFilter')}</span>
          )}
        </section>
        <section className="stack tight" aria-label={t('query.groups')}>
          <h3>{t('query.groups')}</h3>
          <span className="faint">{t('query.groupsText')}</span>
          {groups.data?.items.map((g) => (
            <div key={g.name} className="saved-row">
              <button type="button" className="link-btn clip mono" title={g.filter} onClick={() => apply(`in_group(${JSON.stringify(g.name)})`)}>
                {g.name}
              </button>
              <span className="faint clip">{tl(g.title) || g.filter}</span>
              {can('cmdb.write') && (
                <Popconfirm title={t('query.deleteGroup', { name: g.name })} onConfirm={() => drop.mutate(g.name)} okText={t('action.delete')} cancelText={t('action.cancel')}>
                  <Button size="small" type="text" icon={<Icon of={Trash2} />} aria-label={t('query.deleteGroup', { name: g.name })} />
                </Popconfirm>
              )}
            </div>
          ))}
          {filter && can('cmdb.write') && (
            <form
              className="row wrap"
              onSubmit={(e) => {
                e.preventDefault();
                if (group.trim()) make.mutate();
              }}
            >
              <Input value={group} maxLength={64} aria-label={t('query.groupName')} placeholder="web-prod" className="mono-input" onChange={(e) => setGroup(e.target.value)} style={{ flex: '1 1 160px' }} />
              <Button htmlType="submit" loading={make.isPending} disabled={!group.trim()}>
                {t('query.makeGroup')}
              </Button>
            </form>
          )}
        </section>
      </div>
    </Drawer>
  );
}
