import { Button, Drawer, Dropdown } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { Bookmark, Download, FileUp, ListFilter, Pencil, Play, Plus, Settings2, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Instance, Model } from '../../api/types';
import { saveFile } from '../../components/csv';
import { Clip, Empty, Icon, Loading, PageHead, ProblemNote, Time } from '../../components/base';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { BulkDrawer } from './BulkDrawer';
import { FacetPanel } from './FacetPanel';
import { ImportDrawer } from './ImportDrawer';
import { InstanceForm } from './InstanceForm';
import { ModelIcon } from './ModelIcon';
import { PlanNote } from './PlanNote';
import { SavedDrawer } from './SavedDrawer';
import { single } from './rules';
import { AttributeValue, plain } from './values';

// What a person looks for first, when a model has too many attributes for one line.
const FIRST = ['status', 'env', 'os_name', 'os_version', 'version', 'address', 'addresses', 'port', 'arch', 'cpu_count', 'memory_bytes', 'owner'];
const SHOWN = 8;

export function defaultColumns(model: Model): Set<string> {
  const simple = model.attributes.filter((a) => a.name !== model.display && a.kind !== 'table' && a.kind !== 'json' && a.kind !== 'long_text' && a.kind !== 'secret');
  const ranked = [...simple].sort((a, b) => rank(a.name) - rank(b.name));
  return new Set(ranked.slice(0, SHOWN).map((a) => a.name));
}

function rank(name: string): number {
  const i = FIRST.indexOf(name);
  return i < 0 ? FIRST.length : i;
}

export default function Instances() {
  const { t, tl } = useI18n();
  const { model: name = '' } = useParams({ strict: false }) as { model?: string };
  const model = useQuery({ queryKey: ['cmdb', 'model', name], queryFn: () => api.cmdb.model(name) });
  const can = useCan();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const [creating, setCreating] = useState(false);
  const [importing, setImporting] = useState(false);
  const [picked, setPicked] = useState<{ model: string; rows: ReadonlyMap<string, Instance> }>({ model: name, rows: new Map() });
  const [saved, setSaved] = useState(false);
  // Whoever likes it open has it open everywhere; a link that was made with it open shows it too.
  const [always, setAlways] = useState(() => localStorage.getItem('plenum.facets') === 'open');
  const counting = always || url.facets === '1';
  const count = (on: boolean) => {
    localStorage.setItem('plenum.facets', on ? 'open' : 'closed');
    setAlways(on);
    setUrl({ facets: on ? '1' : undefined });
  };
  const [bulk, setBulk] = useState<'update' | 'delete' | null>(null);
  // The page stays when another model is opened; what was chosen of the last one does not.
  const chosen: ReadonlyMap<string, Instance> = picked.model === name ? picked.rows : new Map();
  if (model.error) return <ProblemNote error={model.error} retry={() => void model.refetch()} />;
  if (!model.data) return <Loading />;
  const m = model.data;
  const usual = defaultColumns(m);
  const sorted = m.attributes.filter((a) => a.kind !== 'secret').sort((a, b) => rank(a.name) - rank(b.name));
  const columns: ListColumn<Instance>[] = [
    {
      key: 'label',
      title: tl(m.attributes.find((a) => a.name === m.display)?.title) || t('cmdb.label'),
      sort: m.display,
      text: (r) => r.label,
      render: (r) => (
        <Link to={`/cmdb/${m.name}/${r.id}`}>
          <Clip>{r.label}</Clip>
        </Link>
      ),
    },
    ...sorted
      .filter((a) => a.name !== m.display)
      .map<ListColumn<Instance>>((a) => ({
        key: a.name,
        title: tl(a.title),
        extra: !usual.has(a.name),
        num: a.kind === 'integer' || a.kind === 'decimal',
        sort: single(a.kind) ? a.name : undefined,
        text: (r) => plain(r.attributes[a.name]),
        render: (r) => AttributeCell({ attribute: a, row: r }),
      })),
    { key: 'updated_at', title: t('field.updated'), sort: 'updated_at', text: (r) => r.updated_at, render: (r) => <Time at={r.updated_at} /> },
  ];
  const onHosts = m.name === 'host' || m.attributes.some((a) => a.name === 'node_id');
  return (
    <div className="page">
      <PageHead
        title={tl(m.title)}
        crumbs={[{ label: t('nav.cmdb'), to: '/cmdb' }]}
        actions={
          <>
            {can('jobs.run') && onHosts && (
              <Button icon={<Icon of={Play} />} onClick={() => void navigate({ to: '/jobs/run', search: { model: m.name, cel: url.filter || 'true' } as never })}>
                {t('jobs.runHere')}
              </Button>
            )}
            {can('cmdb.model') && (
              <Button icon={<Icon of={Settings2} />} onClick={() => void navigate({ to: `/models/${m.name}` })}>
                {t('cmdb.attributes')}
              </Button>
            )}
            {can('cmdb.write') && (
              <Button icon={<Icon of={FileUp} />} onClick={() => setImporting(true)}>
                {t('import.open')}
              </Button>
            )}
            {can('cmdb.write') && (
              <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setCreating(true)}>
                {t('cmdb.create')}
              </Button>
            )}
          </>
        }
      />
      <PlanNote model={m.name} filter={url.filter ?? ''} />
      <div className={counting ? 'with-facets' : undefined}>
        {counting && <FacetPanel key={m.name} model={m} />}
        <ResourceList<Instance>
          key={m.name}
          id={`cmdb.${m.name}`}
          label={tl(m.title)}
          queryKey={['cmdb', 'instances', m.name]}
          load={(q) => api.cmdb.instances(m.name, q)}
          columns={columns}
          rowKey={(r) => r.id}
          rowTo={(r) => `/cmdb/${m.name}/${r.id}`}
          searchable
          filter={{ model: m.name, attributes: m.attributes.filter((a) => a.kind !== 'secret') }}
          toolbar={
            <>
              <Button aria-pressed={counting} icon={<Icon of={ListFilter} />} onClick={() => count(!counting)}>
                {t('query.facets')}
              </Button>
              <Button icon={<Icon of={Bookmark} />} onClick={() => setSaved(true)}>
                {t('query.savedShort')}
              </Button>
              <ExportButton model={m.name} />
            </>
          }
          select={
            can('cmdb.write')
              ? {
                  chosen,
                  onChange: (rows) => setPicked({ model: name, rows }),
                  name: (r) => r.label || r.id,
                  bar: (
                    <>
                      <Button icon={<Icon of={Pencil} />} onClick={() => setBulk('update')}>
                        {t('bulk.change')}
                      </Button>
                      <Button danger icon={<Icon of={Trash2} />} onClick={() => setBulk('delete')}>
                        {t('action.delete')}
                      </Button>
                    </>
                  ),
                }
              : undefined
          }
          empty={
            <Empty title={t('cmdb.empty', { model: tl(m.title) })} text={m.name === 'host' || onHosts ? t('cmdb.emptyFound') : t('cmdb.emptyText')}>
              {onHosts && can('nodes.manage') && <Link to="/nodes" search={{ enrol: '1' } as never}>{t('nodes.enrol')}</Link>}
              {can('cmdb.write') && <Button onClick={() => setCreating(true)}>{t('cmdb.create')}</Button>}
            </Empty>
          }
        />
      </div>
      <SavedDrawer model={m} open={saved} onClose={() => setSaved(false)} />
      {bulk && <BulkDrawer model={m} action={bulk} rows={[...chosen.values()]} onClose={() => setBulk(null)} onDone={() => setPicked({ model: name, rows: new Map() })} />}
      <ImportDrawer model={m} open={importing} onClose={() => setImporting(false)} />
      <Drawer
        open={creating}
        onClose={() => setCreating(false)}
        size={Math.min(680, window.innerWidth)}
        title={
          <span className="row">
            <ModelIcon model={m} /> {t('cmdb.createOf', { model: tl(m.title) })}
          </span>
        }
        destroyOnHidden
      >
        <InstanceForm
          model={m}
          onDone={(i) => {
            setCreating(false);
            void navigate({ to: `/cmdb/${m.name}/${i.id}` });
          }}
        />
      </Drawer>
    </div>
  );
}

/** All that matches, as a file that the host writes. */
function ExportButton({ model }: { model: string }) {
  const { t } = useI18n();
  const [url] = useUrl();
  const save = useAct<'csv' | 'json', Blob>({
    run: (format) => api.cmdb.export(model, { format, filter: url.filter, search: url.q, sort: url.sort }),
    then: (file, format) =>
      // The mark tells spreadsheets that this is UTF-8; an import knows it.
      format === 'csv' ? saveFile(`${model}.csv`, 'text/csv', new Blob(['\uFEFF', file])) : saveFile(`${model}.json`, 'application/json', file),
  });
  return (
    <Dropdown
      trigger={['click']}
      placement="bottomRight"
      menu={{
        items: [
          { key: 'csv', label: t('export.csv'), onClick: () => save.mutate('csv') },
          { key: 'json', label: t('export.json'), onClick: () => save.mutate('json') },
        ],
      }}
    >
      <Button icon={<Icon of={Download} />} loading={save.isPending} title={t('export.hint')}>
        {t('export.open')}
      </Button>
    </Dropdown>
  );
}

function AttributeCell({ attribute, row }: { attribute: Model['attributes'][number]; row: Instance }) {
  const v = row.attributes[attribute.name];
  // An absent value must read as absent, so that narrow screens leave its line out.
  return v === null || v === undefined || v === '' ? null : <AttributeValue attribute={attribute} value={v} compact />;
}
