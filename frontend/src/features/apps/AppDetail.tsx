import { App, Button, Modal, Radio } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useParams, Link } from '@tanstack/react-router';
import { CircleHelp } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Json, Plugin, Setting } from '../../api/types';
import { Empty, Loading, Note, PageHead, Panel, ProblemNote, Status, TabLine, Time } from '../../components/base';
import { bytes, duration } from '../../components/format';
import { check, defaults, isObject, SchemaForm, type FieldError, type Schema } from '../../components/SchemaForm';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { AppIcon } from '../catalog/AppIcon';
import { Signature } from '../catalog/Signature';
import { AppLogs } from './AppLogs';
import { AppPermissions } from './AppPermissions';
import { Data } from './Data';
import { Failures } from './Failures';
import { Figures } from './Figures';
import { Traces } from './Traces';
import { Usage } from './Usage';
import { Versions } from './Versions';

export default function AppDetail() {
  const { t, tl } = useI18n();
  const can = useCan();
  const navigate = useNavigate();
  const { modal } = App.useApp();
  const { id = '', tab = '' } = useParams({ strict: false }) as { id?: string; tab?: string };
  const [removing, setRemoving] = useState(false);
  // Quarantine begins and ends with calls, not with somebody's doing: it is looked for again and again.
  const plugin = useQuery({ queryKey: ['plugins', 'one', id], queryFn: () => api.plugins.get(id), refetchInterval: 10_000 });
  const stale = [['plugins'], ['catalog'], ['workflows'], ['actions']];
  const enable = useAct({ run: () => api.plugins.enable(id), done: t('apps.enabled'), stale });
  const disable = useAct({ run: () => api.plugins.disable(id), done: t('apps.disabledDone'), stale });
  if (plugin.error) return <ProblemNote error={plugin.error} retry={() => void plugin.refetch()} />;
  if (!plugin.data) return <Loading />;
  const p = plugin.data;
  const first = p.pages[0];
  const manage = can('plugins.manage');
  return (
    <div className="page">
      <div className="row" style={{ gap: 14, alignItems: 'flex-start' }}>
        <AppIcon url={p.icon_url} name={tl(p.name)} large />
        <div className="grow">
          <PageHead
            title={tl(p.name)}
            crumbs={[{ label: t('nav.apps'), to: '/apps' }]}
            sub={
              <>
                <Status value={p.status} />
                <span>{p.version}</span>
                <span>{p.publisher}</span>
                <Signature signature={p.signature} />
              </>
            }
            actions={
              <>
                {first && p.status === 'active' && <Button onClick={() => void navigate({ to: `/app/${p.id}/${first.id}` })}>{t('catalog.open')}</Button>}
                {manage && (
                  <>
                    {p.status === 'disabled' || p.status === 'failed' ? (
                      <Button type="primary" loading={enable.isPending} onClick={() => enable.mutate()}>
                        {p.status === 'failed' ? t('action.retry') : t('apps.enable')}
                      </Button>
                    ) : (
                      <Button
                        loading={disable.isPending}
                        onClick={() => modal.confirm({ title: t('apps.disableTitle', { name: tl(p.name) }), content: t('apps.disableText'), okText: t('apps.disable'), onOk: () => disable.mutateAsync().catch(() => {}) })}
                      >
                        {t('apps.disable')}
                      </Button>
                    )}
                    <Button danger onClick={() => setRemoving(true)}>
                      {t('apps.uninstall')}
                    </Button>
                  </>
                )}
              </>
            }
          />
        </div>
      </div>
      {p.status === 'quarantined' && <Quarantine plugin={p} />}
      {p.status_reason && p.status !== 'quarantined' && <Note tone={p.status === 'failed' ? 'bad' : 'info'}>{p.status_reason}</Note>}
      <TabLine
        label={tl(p.name)}
        items={[
          { to: `/apps/${p.id}`, label: t('apps.overview') },
          { to: `/apps/${p.id}/permissions`, label: t('catalog.permissions') },
          { to: `/apps/${p.id}/versions`, label: t('versions.tab') },
          ...(manage
            ? [
                { to: `/apps/${p.id}/settings`, label: t('apps.settings') },
                { to: `/apps/${p.id}/data`, label: t('data.tab') },
                { to: `/apps/${p.id}/logs`, label: t('apps.logs') },
                { to: `/apps/${p.id}/calls`, label: t('traces.title') },
                { to: `/apps/${p.id}/failures`, label: t('failures.title') },
              ]
            : []),
        ]}
      />
      {tab === '' && <Overview plugin={p} />}
      {tab === 'permissions' && <AppPermissions plugin={p} />}
      {tab === 'versions' && <Versions plugin={p} />}
      {tab === 'settings' && <Settings id={p.id} />}
      {tab === 'data' && manage && <Data plugin={p} />}
      {tab === 'logs' && <AppLogs id={p.id} />}
      {tab === 'calls' && manage && <Traces id={p.id} />}
      {tab === 'failures' && <Failures id={p.id} />}
      {!['', 'permissions', 'versions', 'settings', ...(manage ? ['data', 'calls'] : []), 'logs', 'failures'].includes(tab) && <Empty icon={CircleHelp} title={t('error.notFound')} text={t('error.notFoundText')} />}
      {removing && <Uninstall plugin={p} onClose={() => setRemoving(false)} />}
    </div>
  );
}

function figure(name: string, v: number): string {
  if (/_bytes$|_size$/.test(name)) return bytes(v);
  if (/_mb$/.test(name)) return bytes(v * 1024 * 1024);
  if (/_ms$/.test(name)) return duration(v);
  return String(Number.isInteger(v) ? v : v.toFixed(2));
}

function Limits({ values }: { values: Record<string, number | null> }) {
  const { maybe } = useI18n();
  return (
    <dl className="kv one">
      {Object.entries(values)
        .filter((e): e is [string, number] => typeof e[1] === 'number')
        .map(([k, v]) => (
          <div key={k}>
            <dt>{maybe(`limit.${k}`, k.replace(/_/g, ' '))}</dt>
            <dd>{figure(k, v)}</dd>
          </div>
        ))}
    </dl>
  );
}

/** Why calls are not let in, until when, and the way out. */
function Quarantine({ plugin: p }: { plugin: Plugin }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const metrics = useQuery({ queryKey: ['plugins', 'quarantine', p.id], queryFn: () => api.plugins.metrics(p.id), refetchInterval: 5000 });
  const release = useAct({ run: () => api.plugins.release(p.id), done: t('quarantine.released', { name: tl(p.name) }), stale: [['plugins'], ['home']] });
  const left = metrics.data?.quarantine_retry_after_s;
  return (
    <Note tone="bad" title={t('quarantine.title')}>
      <p>{t('quarantine.text')}</p>
      {(metrics.data?.quarantine ?? p.status_reason) && (
        <p style={{ margin: '4px 0' }}>
          <code>{metrics.data?.quarantine ?? p.status_reason}</code>
        </p>
      )}
      {typeof left === 'number' && <p>{left > 0 ? t('quarantine.retry', { time: duration(left * 1000) }) : t('quarantine.probe')}</p>}
      {can('plugins.manage') && (
        <span className="row wrap" style={{ marginTop: 6 }}>
          <Button size="small" loading={release.isPending} onClick={() => release.mutate()}>
            {t('quarantine.release')}
          </Button>
          <Link to={`/apps/${p.id}/failures`}>{t('quarantine.see')}</Link>
        </span>
      )}
    </Note>
  );
}

function Overview({ plugin: p }: { plugin: Plugin }) {
  const { t, tl } = useI18n();
  return (
    <div className="split">
      <div className="stack">
        <Panel title={t('catalog.what')}>
          <p style={{ maxWidth: '76ch' }}>{tl(p.description)}</p>
        </Panel>
        <Usage id={p.id} />
      <Figures id={p.id} />
      </div>
      <div className="stack">
        <Panel title={t('apps.limits')}>
          <Limits values={p.limits ?? {}} />
        </Panel>
        <Panel title={t('catalog.facts')}>
          <dl className="kv one">
            <div>
              <dt>ID</dt>
              <dd className="mono">{p.id}</dd>
            </div>
            <div>
              <dt>{t('apps.installedAt')}</dt>
              <dd>
                <Time at={p.installed_at} /> {p.installed_by && <span className="dim">{p.installed_by}</span>}
              </dd>
            </div>
            {p.pages.map((page) => (
              <div key={page.id}>
                <dt>{t('apps.page')}</dt>
                <dd>
                  <Link to={`/app/${p.id}/${page.id}`}>{tl(page.title) || page.id}</Link>
                </dd>
              </div>
            ))}
          </dl>
        </Panel>
      </div>
    </div>
  );
}

/** The manifest's settings as a JSON Schema for the form. */
export function settingsSchema(settings: Setting[]): Schema {
  return {
    type: 'object',
    required: settings.filter((s) => s.required).map((s) => s.name),
    properties: Object.fromEntries(
      settings.map((s) => [
        s.name,
        {
          type: s.type,
          title: s.title,
          description: s.description,
          default: s.default ?? undefined,
          ...(s.options && s.options.length > 0 ? { enum: s.options } : {}),
          ...(s.secret ? { writeOnly: true } : {}),
        },
      ]),
    ),
  };
}

function Settings({ id }: { id: string }) {
  const { t } = useI18n();
  const settings = useQuery({ queryKey: ['plugins', 'settings', id], queryFn: () => api.plugins.settings(id), refetchOnWindowFocus: false });
  if (settings.error) return <ProblemNote error={settings.error} />;
  if (!settings.data) return <Loading />;
  if (settings.data.settings.length === 0) return <p className="dim">{t('apps.noSettings')}</p>;
  return <SettingsForm key={settings.dataUpdatedAt} id={id} schema={settings.data.settings} values={settings.data.values} />;
}

function SettingsForm({ id, schema, values }: { id: string; schema: Setting[]; values: Record<string, Json> }) {
  const { t } = useI18n();
  const json = settingsSchema(schema);
  const [value, setValue] = useState<Json | undefined>(() => ({
    ...((defaults(json) as Record<string, Json> | undefined) ?? {}),
    // A secret comes as `true` where one is set, never as itself.
    ...Object.fromEntries(Object.entries(values).filter(([k]) => !schema.some((s) => s.secret && s.name === k))),
  }));
  const [errors, setErrors] = useState<FieldError[]>([]);
  const secrets = schema.filter((s) => s.secret).map((s) => s.name);
  const kept = secrets.filter((s) => values[s] === true);
  const save = useAct({
    // A secret that was not typed again stays as it is.
    run: (v: Json) => api.plugins.putSettings(id, Object.fromEntries(Object.entries(isObject(v) ? v : {}).filter(([k, x]) => !(secrets.includes(k) && (x === '' || x === null || x === undefined))))),
    done: t('cmdb.saved'),
    stale: [['plugins', 'settings', id]],
    quiet: true,
  });
  return (
    <Panel>
      <form
        className="stack"
        onSubmit={(e) => {
          e.preventDefault();
          const found = check(json, value).filter((x) => !kept.some((s) => x.pointer === `/${s}`));
          setErrors(found);
          if (found.length === 0) save.mutate(value ?? {});
        }}
      >
        <SchemaForm schema={json} value={value} onChange={setValue} errors={errors} />
        {secrets.length > 0 && <p className="dim">{kept.length > 0 ? t('apps.secretsSet', { names: kept.join(', ') }) : t('apps.secrets')}</p>}
        <ProblemNote error={save.error} />
        <div>
          <Button type="primary" htmlType="submit" loading={save.isPending}>
            {t('action.save')}
          </Button>
        </div>
      </form>
    </Panel>
  );
}

function Uninstall({ plugin: p, onClose }: { plugin: Plugin; onClose: () => void }) {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  const [deleteData, setDeleteData] = useState(false);
  const remove = useAct({
    run: () => api.plugins.uninstall(p.id, deleteData),
    done: t('apps.uninstalled', { name: tl(p.name) }),
    stale: [['plugins'], ['catalog'], ['workflows'], ['actions']],
    quiet: true,
    then: () => void navigate({ to: '/apps' }),
  });
  return (
    <Modal open onCancel={onClose} title={t('apps.uninstallTitle', { name: tl(p.name) })} okText={t('apps.uninstall')} okButtonProps={{ danger: true, loading: remove.isPending }} onOk={() => remove.mutate()}>
      <div className="stack">
        <p>{t('apps.uninstallText')}</p>
        <Radio.Group
          value={deleteData}
          onChange={(e) => setDeleteData(e.target.value as boolean)}
          style={{ display: 'flex', flexDirection: 'column', gap: 8 }}
          options={[
            { value: false, label: t('apps.keepData') },
            { value: true, label: t('apps.deleteData') },
          ]}
        />
        {deleteData && <Note tone="warn">{t('apps.deleteDataText')}</Note>}
        <ProblemNote error={remove.error} />
      </div>
    </Modal>
  );
}
