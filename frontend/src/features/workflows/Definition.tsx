import { App, Button, Dropdown, Input, Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { CalendarClock, GitCompare, MoreHorizontal, Pencil, Play, Trash2 } from 'lucide-react';
import { lazy, Suspense, useEffect, useState } from 'react';
import { api } from '../../api/endpoints';
import type { WorkflowDefinition } from '../../api/types';
import { Chip, Clip, Elapsed, Icon, Loading, Note, PageHead, Panel, ProblemNote, Status, Time, who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { useTextHistory } from './edit/history';
import { ScheduleDialog } from './ScheduleDialog';
import { StartDialog } from './StartDialog';
import { TEMPLATES } from './templates';
import { useView, ViewSwitch, type View } from './ViewSwitch';

const Editor = lazy(() => import('./edit/Editor'));
const SourceEditor = lazy(() => import('./SourceEditor'));
const SourceDrawing = lazy(() => import('./canvas/SourceDrawing'));
const Versions = lazy(() => import('./Versions'));

export default function Definition() {
  const { name } = useParams({ strict: false }) as { name?: string };
  const definition = useQuery({ queryKey: ['workflows', 'one', name], queryFn: () => api.workflows.get(name ?? ''), enabled: Boolean(name) });
  if (!name) return <NewDefinition />;
  if (definition.error) return <ProblemNote error={definition.error} retry={() => void definition.refetch()} />;
  if (!definition.data) return <Loading />;
  return <Shown definition={definition.data} />;
}

function NewDefinition() {
  const { t } = useI18n();
  const navigate = useNavigate();
  // A page that needs a certain workflow leads to its template.
  const [url] = useUrl();
  const first = TEMPLATES.find((x) => x.id === url.template) ?? TEMPLATES[0];
  const [name, setName] = useState(url.template === 'provide-resource' ? 'provide-resource' : '');
  const [template, setTemplate] = useState(first?.id ?? '');
  const history = useTextHistory(first?.source ?? '');
  const [view, setView] = useView('both');
  const save = useAct<void, WorkflowDefinition>({
    run: () => api.workflows.create({ name: name.trim(), source: history.text }),
    done: t('cmdb.saved'),
    stale: [['workflows']],
    quiet: true,
    then: (w) => void navigate({ to: `/workflows/${w.name}` }),
  });
  return (
    <div className="page">
      <PageHead
        title={t('workflows.new')}
        crumbs={[{ label: t('nav.workflows'), to: '/workflows' }]}
        actions={
          <Button type="primary" disabled={!name.trim()} loading={save.isPending} onClick={() => save.mutate()}>
            {t('action.save')}
          </Button>
        }
      />
      <ProblemNote error={save.error} />
      <Panel flush title={t('workflows.definition')} actions={<ViewSwitch value={view} onChange={setView} />}>
        <div className="body-note row wrap" style={{ alignItems: 'flex-end', paddingBottom: 0 }}>
          <label style={{ flex: '1 1 220px', maxWidth: 360 }}>
            {t('workflows.name')}
            <Input value={name} onChange={(e) => setName(e.target.value)} placeholder="nightly-check" className="mono-input" autoFocus style={{ display: 'block' }} />
          </label>
          <label style={{ flex: '1 1 220px', maxWidth: 420, display: 'grid' }}>
            {t('edit.template')}
            <Select
              value={template}
              options={TEMPLATES.map((x) => ({ value: x.id, label: t(x.title) }))}
              onChange={(id: string) => {
                setTemplate(id);
                // It can be undone, like every other change.
                history.set(TEMPLATES.find((x) => x.id === id)?.source ?? '');
              }}
            />
          </label>
        </div>
        <Suspense fallback={<Loading />}>
          <Editor name={name.trim()} history={history} view={view} />
        </Suspense>
      </Panel>
    </div>
  );
}

function Shown({ definition: d }: { definition: WorkflowDefinition }) {
  const { t } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const { modal } = App.useApp();
  const [draft, setDraft] = useState<string | null>(null);
  const [view, setView] = useView(draft === null ? 'drawing' : 'both');
  const [starting, setStarting] = useState(false);
  const [scheduling, setScheduling] = useState(false);
  const [comparing, setComparing] = useState(false);
  const save = useAct<string, WorkflowDefinition>({
    run: (source) => api.workflows.update(d.name, { source }),
    done: (w) => t('workflows.savedAs', { n: w.version }),
    stale: [['workflows']],
    quiet: true,
    then: () => setDraft(null),
  });
  const remove = useAct({ run: () => api.workflows.delete(d.name), done: t('cmdb.deleted'), stale: [['workflows']], then: () => void navigate({ to: '/workflows' }) });
  const editable = can('workflow.write') && !d.owner;
  return (
    <div className="page">
      <PageHead
        title={d.title || d.name}
        crumbs={[{ label: t('nav.workflows'), to: '/workflows' }]}
        sub={
          <>
            {d.title !== d.name && <code>{d.name}</code>}
            <span>{t('workflows.version', { n: d.version })}</span>
            <span>
              {t('field.updated')} <Time at={d.updated_at} /> · {d.updated_by}
            </span>
            {d.owner && (
              <Link to={`/apps/${d.owner}`}>
                <Chip tone="accent">{t('origin.plugin', { id: d.owner })}</Chip>
              </Link>
            )}
          </>
        }
        actions={
          <>
            {can('workflow.run') && (
              <>
                <Button type="primary" icon={<Icon of={Play} />} onClick={() => setStarting(true)}>
                  {t('workflows.start')}
                </Button>
                <Button icon={<Icon of={CalendarClock} />} onClick={() => setScheduling(true)}>
                  {t('workflows.schedule')}
                </Button>
              </>
            )}
            {d.version > 1 && (
              <Button icon={<Icon of={GitCompare} />} onClick={() => setComparing(true)}>
                {t('versions.tab')}
              </Button>
            )}
            {editable && (
              <>
                {draft === null && (
                  <Button icon={<Icon of={Pencil} />} onClick={() => setDraft(d.source)}>
                    {t('action.edit')}
                  </Button>
                )}
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
                            title: t('workflows.deleteTitle', { name: d.name }),
                            content: t('workflows.deleteText'),
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
      {d.summary && <p className="dim">{d.summary}</p>}
      <Panel
        flush
        title={t('workflows.definition')}
        actions={
          <>
            <ViewSwitch value={view} onChange={setView} />
            {draft !== null && (
              <>
                <Button size="small" onClick={() => setDraft(null)}>
                  {t('action.cancel')}
                </Button>
                <Button size="small" type="primary" loading={save.isPending} disabled={draft === d.source} onClick={() => save.mutate(draft)}>
                  {t('action.save')}
                </Button>
              </>
            )}
          </>
        }
      >
        {d.owner && can('workflow.write') && <div className="body-note"><Note tone="info">{t('workflows.owned')}</Note></div>}
        {draft !== null && save.error ? <div className="body-note"><ProblemNote error={save.error} /></div> : null}
        {draft !== null ? (
          <Suspense fallback={<Loading />}>
            <Editing name={d.name} source={d.source} onChange={setDraft} view={view} />
          </Suspense>
        ) : (
          <div className={view === 'both' ? 'wf-both' : undefined}>
            {view !== 'text' && (
              <Suspense fallback={<Loading />}>
                <SourceDrawing source={d.source} name={d.name} />
              </Suspense>
            )}
            {view !== 'drawing' && (
              <div className="body-note">
                <Suspense fallback={<Loading />}>
                  <SourceEditor value={d.source} readOnly />
                </Suspense>
              </div>
            )}
          </div>
        )}
      </Panel>
      <RecentRuns name={d.name} />
      {comparing && (
        <Suspense fallback={null}>
          <Versions definition={d} onClose={() => setComparing(false)} />
        </Suspense>
      )}
      {starting && <StartDialog name={d.name} schema={d.input_schema} onClose={() => setStarting(false)} />}
      {scheduling && <ScheduleDialog target={{ kind: 'workflow', name: d.name }} onClose={() => setScheduling(false)} />}
    </div>
  );
}

/** Its own history; what is written is told to who saves it. */
function Editing({ name, source, onChange, view }: { name: string; source: string; onChange: (text: string) => void; view: View }) {
  const history = useTextHistory(source);
  const { text } = history;
  useEffect(() => onChange(text), [text, onChange]);
  return <Editor name={name} history={history} view={view} />;
}

function RecentRuns({ name }: { name: string }) {
  const { t } = useI18n();
  const runs = useQuery({ queryKey: ['runs', 'of', name], queryFn: () => api.runs.list({ workflow: name, limit: 12 }) });
  return (
    <Panel title={t('home.recentRuns')} flush actions={<Link to="/runs" search={{ workflow: name } as never}>{t('home.all')}</Link>}>
      {runs.error ? <div style={{ padding: 12 }}><ProblemNote error={runs.error} /></div> : null}
      {runs.data?.items.length === 0 && <p className="dim" style={{ padding: 12 }}>{t('workflows.neverRan')}</p>}
      <ul>
        {runs.data?.items.map((r) => (
          <li key={r.id} style={{ padding: '5px 12px', borderBottom: '1px solid var(--p-border)' }}>
            <div className="row between">
              <Link to={`/runs/${r.id}`}>
                <Time at={r.started_at} />
              </Link>
              <Status value={r.status} />
            </div>
            <div className="row between dim">
              <Clip>{who(r.started_by, t)}</Clip>
              <Elapsed from={r.started_at} to={r.finished_at} ms={r.duration_ms} />
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
