import { App, Button, Drawer, Dropdown } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { GitPullRequestArrow, Link2, MoreHorizontal, Pencil, Play, RotateCcw, Trash2, Unlink } from 'lucide-react';
import { useState } from 'react';
import { Problem } from '../../api/client';
import { api } from '../../api/endpoints';
import type { Attribute, Instance as Item, Model, Related } from '../../api/types';
import { Clip, Empty, Icon, Loading, Note, PageHead, Panel, ProblemNote, Status, Time, Who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { RequestDrawer } from '../changes/RequestDrawer';
import { RequestsPanel } from '../changes/RequestsPanel';
import { HealthPanel } from '../quality/findings';
import { SourcesPanel } from '../quality/SourcesPanel';
import { NodeCharts } from '../nodes/Charts';
import { History } from './History';
import { InstanceForm } from './InstanceForm';
import { LinkDialog, LinkFacts } from './LinkDialog';
import { MapPanel } from './MapPanel';
import { SecretsPanel } from './SecretsPanel';
import { RestoreDialog } from './Restore';
import { AttributeValue, isMissing, plain } from './values';

export default function Instance() {
  const { t, tl, maybe } = useI18n();
  const { model: modelName = '', id = '' } = useParams({ strict: false }) as { model?: string; id?: string };
  const can = useCan();
  const navigate = useNavigate();
  const { modal } = App.useApp();
  const [editing, setEditing] = useState(false);
  const [requesting, setRequesting] = useState(false);
  const model = useQuery({ queryKey: ['cmdb', 'model', modelName], queryFn: () => api.cmdb.model(modelName) });
  const instance = useQuery({ queryKey: ['cmdb', 'instance', modelName, id], queryFn: () => api.cmdb.instance(modelName, id) });
  const remove = useAct({
    run: () => api.cmdb.delete(modelName, id),
    done: t('cmdb.deleted'),
    stale: [['cmdb']],
    then: () => void navigate({ to: `/cmdb/${modelName}` }),
  });
  if (model.data && instance.error instanceof Problem && instance.error.status === 404) return <Gone model={model.data} id={id} error={instance.error} />;
  const error = model.error ?? instance.error;
  if (error) return <ProblemNote error={error} retry={() => void Promise.all([model.refetch(), instance.refetch()])} />;
  if (!model.data || !instance.data) return <Loading />;
  const m = model.data;
  const i = instance.data;
  const sections = new Map<string, Attribute[]>();
  for (const a of m.attributes) sections.set(a.section ?? '', [...(sections.get(a.section ?? '') ?? []), a]);
  const status = i.attributes.status;
  const nodeId = typeof i.attributes.node_id === 'string' ? i.attributes.node_id : undefined;
  return (
    <div className="page">
      <PageHead
        title={i.label || i.id}
        crumbs={[
          { label: t('nav.cmdb'), to: '/cmdb' },
          { label: tl(m.title), to: `/cmdb/${m.name}` },
        ]}
        sub={
          <>
            {typeof status === 'string' && <Status value={status} still />}
            <span>
              {t('field.updated')} <Time at={i.updated_at} />
            </span>
            <span className="faint mono">{i.id}</span>
          </>
        }
        actions={
          <>
            {can('jobs.run') && nodeId && (
              <Button icon={<Icon of={Play} />} onClick={() => void navigate({ to: '/jobs/run', search: { node: nodeId } as never })}>
                {t('jobs.runScript')}
              </Button>
            )}
            {can('cmdb.write') && (
              <>
                <Button type="primary" icon={<Icon of={Pencil} />} onClick={() => setEditing(true)}>
                  {t('action.edit')}
                </Button>
                <Button icon={<Icon of={GitPullRequestArrow} />} onClick={() => setRequesting(true)}>
                  {t('changes.request')}
                </Button>
                <Dropdown
                  trigger={['click']}
                  menu={{
                    items: [
                      {
                        key: 'delete',
                        danger: true,
                        icon: <Icon of={Trash2} />,
                        label: t('action.delete'),
                        onClick: () =>
                          modal.confirm({
                            title: t('cmdb.deleteTitle', { name: i.label }),
                            content: nodeId ? t('cmdb.deleteNode') : t('cmdb.deleteText'),
                            okText: t('action.delete'),
                            okButtonProps: { danger: true },
                            onOk: () => remove.mutateAsync().catch(() => {}),
                          }),
                      },
                    ],
                  }}
                >
                  <Button aria-label={t('action.more')} icon={<Icon of={MoreHorizontal} />} />
                </Dropdown>
              </>
            )}
          </>
        }
      />
      <div className="split">
        <div className="stack">
          {[...sections].map(([section, attributes]) => (
            <Section key={section} title={maybe(`section.${section}`, section || t('section.general'))} attributes={attributes} instance={i} />
          ))}
          {nodeId && can('nodes.read') && (
            <Panel title={t('nodeMetrics.title')} actions={<Link to={`/nodes/${nodeId}`}>{t('nav.nodes')}</Link>}>
              <NodeCharts id={nodeId} />
            </Panel>
          )}
          <MapPanel model={m.name} id={i.id} />
          <History model={m} id={i.id} label={i.label || i.id} version={i.version} />
        </div>
        <div className="stack">
          <RelatedPanel model={m} instance={i} />
          <RequestsPanel id={i.id} />
          <SecretsPanel model={m} id={i.id} />
          <HealthPanel model={m.name} id={i.id} />
          <SourcesPanel model={m} id={i.id} />
          {nodeId && <WorkPanel nodeId={nodeId} />}
        </div>
      </div>
      {requesting && <RequestDrawer model={m} instance={i} onClose={() => setRequesting(false)} />}
      <Drawer open={editing} onClose={() => setEditing(false)} size={Math.min(680, window.innerWidth)} title={t('cmdb.editOf', { name: i.label })} destroyOnHidden>
        <InstanceForm model={m} instance={i} onDone={() => setEditing(false)} />
      </Drawer>
    </div>
  );
}

/** A record that is not there: deleted, when it has a history; else there never was one. */
function Gone({ model, id, error }: { model: Model; id: string; error: Problem }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const [restoring, setRestoring] = useState(false);
  const last = useQuery({ queryKey: ['cmdb', 'history', model.name, id, 'last'], queryFn: () => api.cmdb.history(model.name, id, { limit: 1 }) });
  if (last.isPending) return <Loading />;
  const deletion = last.data?.items[0];
  if (!deletion || deletion.after !== null) return <ProblemNote error={last.error ?? error} />;
  const label = plain(deletion.before?.[model.display]) || id;
  return (
    <div className="page">
      <PageHead
        title={label}
        crumbs={[
          { label: t('nav.cmdb'), to: '/cmdb' },
          { label: tl(model.title), to: `/cmdb/${model.name}` },
        ]}
        sub={<span className="faint mono">{id}</span>}
        actions={
          can('cmdb.write') && (
            <Button type="primary" icon={<Icon of={RotateCcw} />} onClick={() => setRestoring(true)}>
              {t('restore.do')}
            </Button>
          )
        }
      />
      <Note tone="warn" title={t('restore.gone')}>
        <Who actor={deletion.actor} />, <Time at={deletion.at} both />
        {deletion.why && <> · “{deletion.why}”</>}
      </Note>
      <History model={model} id={id} label={label} />
      {restoring && <RestoreDialog model={model.name} id={id} label={label} deleted onClose={() => setRestoring(false)} />}
    </div>
  );
}

function Section({ title, attributes, instance }: { title: string; attributes: Attribute[]; instance: Item }) {
  const { t, tl } = useI18n();
  const simple = attributes.filter((a) => a.kind !== 'table' && a.kind !== 'json' && a.kind !== 'secret');
  const wide = attributes.filter((a) => (a.kind === 'table' || a.kind === 'json') && !isMissing(instance.attributes[a.name]));
  if (simple.length === 0 && wide.length === 0) return null;
  return (
    <Panel title={title} flush>
      {simple.length > 0 && (
        <div className="body">
          <dl className="kv">
            {simple.map((a) => (
              <div key={a.name}>
                <dt title={a.name}>{tl(a.title)}</dt>
                <dd>
                  <AttributeValue attribute={a} value={instance.attributes[a.name]} />
                </dd>
              </div>
            ))}
          </dl>
        </div>
      )}
      {wide.map((a) => (
        <div key={a.name} className="body" style={{ paddingTop: simple.length ? 0 : undefined }}>
          <h3 style={{ fontSize: 12, fontWeight: 600, padding: '4px 0' }} className="dim">
            {tl(a.title)}
            {Array.isArray(instance.attributes[a.name]) && <span className="faint"> {t('value.rows', { n: (instance.attributes[a.name] as unknown[]).length })}</span>}
          </h3>
          <AttributeValue attribute={a} value={instance.attributes[a.name]} />
        </div>
      ))}
    </Panel>
  );
}

function RelatedPanel({ model, instance }: { model: Model; instance: Item }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const [adding, setAdding] = useState(false);
  const related = useQuery({ queryKey: ['cmdb', 'related', model.name, instance.id], queryFn: () => api.cmdb.related(model.name, instance.id) });
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const drop = useAct<Related>({ run: (r) => api.cmdb.dissociate(r.association), done: t('cmdb.unlinked'), stale: [['cmdb']] });
  const kinds = useQuery({ queryKey: ['cmdb', 'kinds'], queryFn: api.cmdb.kinds, staleTime: Infinity });
  const kindTitle = (r: Related | undefined) => {
    const k = kinds.data?.items.find((x) => x.name === r?.kind);
    return k && r ? tl(k[r.direction]) : (r?.kind ?? '');
  };
  const groups = new Map<string, Related[]>();
  for (const r of related.data?.items ?? []) {
    const key = `${r.kind}.${r.direction}`;
    groups.set(key, [...(groups.get(key) ?? []), r]);
  }
  return (
    <Panel
      title={t('cmdb.related')}
      flush
      actions={
        can('cmdb.write') && (
          <button type="button" className="icon-btn" aria-label={t('cmdb.link')} title={t('cmdb.link')} onClick={() => setAdding(true)}>
            <Icon of={Link2} />
          </button>
        )
      }
    >
      {related.error ? <div style={{ padding: 12 }}><ProblemNote error={related.error} /></div> : null}
      {related.data && related.data.items.length === 0 && <p className="dim" style={{ padding: 12 }}>{t('cmdb.noRelated')}</p>}
      {[...groups].map(([key, items]) => (
        <div key={key} style={{ padding: '8px 12px' }}>
          <div className="faint" style={{ fontSize: 12 }}>
            {kindTitle(items[0])}
          </div>
          <ul>
            {items.map((r) => (
              <li key={r.association} className="row">
                <Link to={`/cmdb/${r.model}/${r.id}`} className="grow clip" title={r.label}>
                  {r.label}
                </Link>
                <LinkFacts kind={kinds.data?.items.find((k) => k.name === r.kind)} attributes={r.attributes} />
                <span className="faint">{tl(models.data?.items.find((m) => m.name === r.model)?.title) || r.model}</span>
                {can('cmdb.write') && (
                  <button
                    type="button"
                    className="icon-btn"
                    aria-label={t('cmdb.unlink', { name: r.label })}
                    title={t('cmdb.unlink', { name: r.label })}
                    onClick={() => modal.confirm({ title: t('cmdb.unlinkTitle', { name: r.label }), onOk: () => drop.mutateAsync(r).catch(() => {}) })}
                  >
                    <Icon of={Unlink} />
                  </button>
                )}
              </li>
            ))}
          </ul>
        </div>
      ))}
      {adding && <LinkDialog model={model} instance={instance} models={models.data?.items ?? []} kinds={kinds.data?.items ?? []} onClose={() => setAdding(false)} />}
    </Panel>
  );
}

/** What was done on this machine of late. */
function WorkPanel({ nodeId }: { nodeId: string }) {
  const { t } = useI18n();
  const can = useCan();
  const jobs = useQuery({ queryKey: ['jobs', 'node', nodeId], queryFn: () => api.jobs.list({ node_id: nodeId, limit: 6 }), enabled: can('jobs.read'), retry: false });
  return (
    <Panel title={t('cmdb.jobsHere')} flush actions={<Link to="/jobs" search={{ node_id: nodeId } as never}>{t('home.all')}</Link>}>
      {jobs.error ? <div style={{ padding: 12 }}><ProblemNote error={jobs.error} /></div> : null}
      {jobs.data && jobs.data.items.length === 0 && <Empty title={t('cmdb.noJobs')} />}
      <ul>
        {jobs.data?.items.map((j) => (
          <li key={j.id} style={{ padding: '5px 12px', borderBottom: '1px solid var(--p-border)' }}>
            <Link to={`/jobs/${j.id}`}>
              <Clip>{j.name}</Clip>
            </Link>
            <div className="row between dim">
              <Status value={j.status} />
              <Time at={j.created_at} />
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
