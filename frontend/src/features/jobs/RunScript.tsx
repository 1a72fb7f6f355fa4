import { Button, Form, Input, InputNumber, Radio, Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Play, Plus, X } from 'lucide-react';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { Problem } from '../../api/client';
import { api } from '../../api/endpoints';
import type { Execution, RunRequest, TargetPreview, Targets } from '../../api/types';
import { Clip, Icon, Loading, Note, PageHead, Panel, ProblemNote, Status } from '../../components/base';
import { useDebounced } from '../../components/FilterInput';
import { FilterInput } from '../../components/FilterInput';
import { uuid } from '../../components/id';
import { useAct } from '../../components/useAct';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { ScriptFindings } from './Findings';
import { Pasted } from './Pasted';
import { StrategyFields, strategyDraft, strategyOf, type StrategyDraft } from './Strategy';

const CodeEditor = lazy(() => import('../../components/CodeEditor'));

const STARTS = {
  bash: '#!/usr/bin/env bash\nset -euo pipefail\n\n',
  sh: '#!/bin/sh\nset -eu\n\n',
  python3: '#!/usr/bin/env python3\n\n',
};
type Language = keyof typeof STARTS;
type Mode = 'filter' | 'nodes' | 'pasted';

interface Draft {
  name: string;
  args: string[];
  env: { name: string; value: string }[];
  user: string;
  cwd: string;
  timeout_s: number;
  concurrency?: number | null;
}
type Form_ = Draft & StrategyDraft;

const EMPTY: Form_ = { name: '', args: [], env: [], user: '', cwd: '', timeout_s: 300, concurrency: null, ...strategyDraft() };

/** What a new run starts from: a blank page, or an execution that is run again. */
export default function RunScript() {
  const [url] = useUrl();
  const from = url.from;
  const old = useQuery({ queryKey: ['jobs', 'one', from], queryFn: () => api.jobs.get(from ?? ''), enabled: Boolean(from) });
  const results = useQuery({
    queryKey: ['jobs', 'targets-of', from],
    queryFn: async () => {
      const ids: { id: string; failed: boolean }[] = [];
      let cursor: string | undefined;
      do {
        const page = await api.jobs.results(from ?? '', { limit: 500, cursor });
        ids.push(...page.items.map((r) => ({ id: r.node_id, failed: r.status !== 'succeeded' })));
        cursor = page.next_cursor ?? undefined;
      } while (cursor);
      return ids;
    },
    enabled: Boolean(from),
  });
  if (from && (old.error || results.error)) return <ProblemNote error={old.error ?? results.error} />;
  if (from && (!old.data || !results.data)) return <Loading />;
  const chosen = results.data?.filter((r) => url.only !== 'failed' || r.failed).map((r) => r.id);
  return <Editor key={`${from ?? ''}${url.only ?? ''}`} old={old.data} nodes={chosen ?? (url.node ? [url.node] : undefined)} />;
}

function Editor({ old, nodes }: { old?: Execution; nodes?: string[] }) {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  const [url] = useUrl();
  const [form] = Form.useForm<Form_>();
  const [language, setLanguage] = useState<Language>((old?.script.language as Language | undefined) ?? 'bash');
  const [content, setContent] = useState(old?.script.content ?? STARTS.bash);
  const [mode, setMode] = useState<Mode>(nodes ? 'nodes' : 'filter');
  const [model, setModel] = useState(url.model ?? 'host');
  const [cel, setCel] = useState(url.cel && url.cel !== 'true' ? url.cel : '');
  const [picked, setPicked] = useState<string[]>(nodes ?? []);
  const [pasted, setPasted] = useState('');
  const [skip, setSkip] = useState(false);
  const [place, setPlace] = useState<{ line: number }>();
  const [problem, setProblem] = useState<unknown>(null);
  const key = useRef(uuid());

  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const targets: Targets =
    mode === 'filter'
      ? { filter: { model, cel } }
      : mode === 'pasted'
        ? { addresses: pasted.split('\n').filter((l) => l.trim()), skip_unmatched: skip }
        : { nodes: picked.map((node_id) => ({ node_id })) };
  const none = (mode === 'nodes' && picked.length === 0) || (mode === 'pasted' && pasted.trim() === '');
  const preview = usePreview(targets, !none);
  const unmatched = mode === 'pasted' && !skip && (preview.data?.unmatched_total ?? 0) > 0;
  const total = none ? 0 : preview.data?.total;

  // Another language starts from its own first lines, unless something was written already.
  const choose = (l: Language) => {
    if (Object.values(STARTS).includes(content)) setContent(STARTS[l]);
    setLanguage(l);
  };

  const run = useAct<RunRequest, Execution>({
    run: (b) => api.jobs.run(b),
    stale: [['jobs'], ['home']],
    quiet: true,
    then: (e) => void navigate({ to: `/jobs/${e.id}` }),
  });
  const submit = (d: Form_) => {
    setProblem(null);
    const env = Object.fromEntries((d.env ?? []).filter((e) => e?.name).map((e) => [e.name, e.value ?? '']));
    run.mutate(
      {
        name: d.name.trim(),
        script: { language, content },
        args: d.args ?? [],
        env,
        ...(d.user.trim() ? { user: d.user.trim() } : {}),
        ...(d.cwd.trim() ? { cwd: d.cwd.trim() } : {}),
        timeout_s: d.timeout_s,
        targets,
        ...(d.concurrency ? { concurrency: d.concurrency } : {}),
        ...strategyOf(d),
        ...(old ? { retry_of: old.id } : {}),
        key: key.current,
      },
      {
        onError: (e) => {
          // A refused request used no key up; one whose answer was lost may have.
          if (e instanceof Problem && e.status >= 400 && e.status < 500) key.current = uuid();
          setProblem(e);
        },
      },
    );
  };
  const onHosts = (models.data?.items ?? []).filter((m) => m.name === 'host' || m.attributes.some((a) => a.name === 'node_id'));
  const attributes = models.data?.items.find((m) => m.name === model)?.attributes ?? [];
  return (
    <div className="page">
      <PageHead title={t('jobs.runScript')} crumbs={[{ label: t('nav.jobs'), to: '/jobs' }]} />
      <Form<Form_>
        form={form}
        layout="vertical"
        initialValues={
          old
            ? {
                name: old.name,
                args: old.args,
                env: old.env.map((name) => ({ name, value: '' })),
                user: old.user ?? '',
                cwd: old.cwd ?? '',
                timeout_s: old.timeout_s,
                concurrency: old.concurrency || null,
                ...strategyDraft(old),
              }
            : EMPTY
        }
        onFinish={submit}
        scrollToFirstError
      >
        <div className="split">
          <div className="stack">
            <Panel
              title={t('jobs.script')}
              flush
              actions={
                <Select<Language>
                  aria-label={t('jobs.language')}
                  size="small"
                  value={language}
                  onChange={choose}
                  options={[
                    { value: 'bash', label: 'Bash' },
                    { value: 'sh', label: 'POSIX sh' },
                    { value: 'python3', label: 'Python 3' },
                  ]}
                  style={{ width: 110 }}
                />
              }
            >
              <div className="body">
                <Suspense fallback={<Loading />}>
                  <CodeEditor language={language} value={content} onChange={setContent} label={t('jobs.script')} minHeight={220} goto={place} />
                </Suspense>
              </div>
            </Panel>
            <ScriptFindings script={{ language, content }} targets={none ? undefined : targets} onGo={(line) => setPlace({ line })} />
            <Panel title={t('jobs.how')}>
              <div className="form-grid">
                <Form.Item name="name" label={t('jobs.name')} rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
                  <Input maxLength={200} placeholder={t('jobs.nameHint')} />
                </Form.Item>
                <Form.Item name="timeout_s" label={t('jobs.timeoutSeconds')} rules={[{ required: true, message: t('form.required') }]}>
                  <InputNumber min={1} max={86_400} precision={0} style={{ width: '100%' }} />
                </Form.Item>
                <Form.Item name="concurrency" label={t('jobs.concurrency')}>
                  <InputNumber min={1} precision={0} style={{ width: '100%' }} placeholder={t('jobs.allAtOnce')} />
                </Form.Item>
                <Form.Item name="user" label={t('jobs.user')}>
                  <Input placeholder={t('jobs.agentUser')} autoCapitalize="off" spellCheck={false} />
                </Form.Item>
                <Form.Item name="cwd" label={t('jobs.cwd')}>
                  <Input placeholder="/tmp" spellCheck={false} />
                </Form.Item>
                <Form.Item name="args" label={t('jobs.args')} className="wide" extra={t('jobs.argsHint')}>
                  <Select mode="tags" open={false} suffixIcon={null} />
                </Form.Item>
              </div>
              <StrategyFields />
              <Form.List name="env">
                {(fields, { add, remove }) => (
                  <fieldset>
                    <legend>{t('jobs.env')}</legend>
                    {old && old.env.length > 0 && <p className="dim" style={{ marginBottom: 6 }}>{t('jobs.envAgain')}</p>}
                    {fields.map((f) => (
                      <div key={f.key} className="row" style={{ marginBottom: 6 }}>
                        <Form.Item name={[f.name, 'name']} noStyle rules={[{ pattern: /^[A-Za-z_][A-Za-z0-9_]*$/, message: t('jobs.envName') }]}>
                          <Input placeholder="NAME" aria-label={t('jobs.envName')} className="mono-input" />
                        </Form.Item>
                        =
                        <Form.Item name={[f.name, 'value']} noStyle>
                          <Input placeholder={t('jobs.envValue')} aria-label={t('jobs.envValue')} autoComplete="off" />
                        </Form.Item>
                        <button type="button" className="icon-btn" aria-label={t('jobs.envRemove')} onClick={() => remove(f.name)}>
                          <Icon of={X} />
                        </button>
                      </div>
                    ))}
                    <Button size="small" icon={<Icon of={Plus} />} onClick={() => add({ name: '', value: '' })}>
                      {t('jobs.envAdd')}
                    </Button>
                  </fieldset>
                )}
              </Form.List>
            </Panel>
          </div>
          <div className="stack" style={{ position: 'sticky', top: 0 }}>
            <Panel title={t('jobs.targets')}>
              <div className="stack">
                <Radio.Group
                  value={mode}
                  onChange={(e) => setMode(e.target.value as Mode)}
                  optionType="button"
                  options={[
                    { value: 'filter', label: t('jobs.byFilter') },
                    { value: 'nodes', label: t('jobs.byNode') },
                    { value: 'pasted', label: t('jobs.byPaste') },
                  ]}
                />
                {mode === 'filter' ? (
                  <>
                    <Select
                      aria-label={t('cmdb.model')}
                      value={model}
                      onChange={(m) => {
                        setModel(m);
                        setCel('');
                      }}
                      options={onHosts.map((m) => ({ value: m.name, label: tl(m.title) }))}
                    />
                    <FilterInput model={model} attributes={attributes} value={cel} onApply={setCel} />
                  </>
                ) : mode === 'pasted' ? (
                  <Pasted value={pasted} onChange={setPasted} skip={skip} onSkip={setSkip} preview={none ? undefined : preview.data} />
                ) : (
                  <NodePicker value={picked} onChange={setPicked} />
                )}
                <Preview data={preview.data} error={preview.error} none={none} all={mode === 'filter' && !cel} />
              </div>
            </Panel>
            {problem ? <ProblemNote error={problem} /> : null}
            <Button type="primary" size="large" block htmlType="submit" icon={<Icon of={Play} />} loading={run.isPending} disabled={!total || unmatched || content.trim() === ''}>
              {total ? t('jobs.runOn', { n: total }) : t('jobs.run')}
            </Button>
          </div>
        </div>
      </Form>
    </div>
  );
}

function usePreview(targets: Targets, enabled: boolean) {
  const settled = useDebounced(JSON.stringify(targets), 200);
  return useQuery({
    queryKey: ['jobs', 'preview', settled],
    queryFn: () => api.jobs.preview(JSON.parse(settled) as Targets),
    enabled,
    retry: false,
  });
}

function Preview({ data, error, none, all }: { data?: TargetPreview; error: unknown; none: boolean; all: boolean }) {
  const { t } = useI18n();
  if (error) return <ProblemNote error={error} />;
  if (none) return <p className="dim">{t('jobs.pickSome')}</p>;
  if (!data) return <Loading />;
  const offline = data.items.filter((i) => i.state === 'offline').length;
  return (
    <div className="stack tight" aria-live="polite">
      <strong>
        {t('jobs.matching', { n: data.total })} {all && <span className="dim">{t('jobs.matchingAll')}</span>}
      </strong>
      {offline > 0 && <Note tone="warn">{t('jobs.offline', { n: offline })}</Note>}
      {data.unreachable.length > 0 && (
        <Note tone="warn" title={t('jobs.unreachable', { n: data.unreachable.length })}>
          <ul>
            {data.unreachable.slice(0, 5).map((u) => (
              <li key={u.instance.id}>
                {u.label}: {u.reason}
              </li>
            ))}
          </ul>
        </Note>
      )}
      <ul style={{ maxHeight: 260, overflow: 'auto' }} tabIndex={0} aria-label={t('jobs.targets')}>
        {data.items.map((i) => (
          <li key={i.node_id} className="row between">
            <Clip>{i.node_name}</Clip>
            <Status value={i.state} still />
          </li>
        ))}
      </ul>
      {data.total > data.items.length && <span className="dim">{t('jobs.andMore', { n: data.total - data.items.length })}</span>}
    </div>
  );
}

function NodePicker({ value, onChange }: { value: string[]; onChange: (v: string[]) => void }) {
  const { t } = useI18n();
  const [text, setText] = useState('');
  const asked = useDebounced(text, 200);
  const nodes = useQuery({ queryKey: ['nodes', 'pick', asked], queryFn: () => api.nodes.list({ search: asked, limit: 50 }), placeholderData: (o) => o });
  const names = useRef(new Map<string, string>());
  const [, redraw] = useState(0);
  for (const n of nodes.data?.items ?? []) names.current.set(n.id, n.name);
  // Nodes that came with the URL are known by id only.
  useEffect(() => {
    for (const id of value) {
      if (names.current.has(id)) continue;
      names.current.set(id, id);
      api.nodes.get(id).then(
        (n) => {
          names.current.set(id, n.name);
          redraw((x) => x + 1);
        },
        () => {},
      );
    }
  }, [value]);
  const options = (nodes.data?.items ?? []).filter((n) => n.state !== 'revoked').map((n) => ({ value: n.id, label: n.name }));
  for (const id of value) if (!options.some((o) => o.value === id)) options.push({ value: id, label: names.current.get(id) ?? id });
  return (
    <Select
      mode="multiple"
      aria-label={t('jobs.byNode')}
      placeholder={t('jobs.pickNodes')}
      value={value}
      onChange={onChange}
      options={options}
      filterOption={false}
      onSearch={setText}
      maxTagCount={12}
      loading={nodes.isFetching}
    />
  );
}
