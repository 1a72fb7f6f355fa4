/** Rules for scripts: what warns, what asks for approval, what blocks. */
import { useQuery } from '@tanstack/react-query';
import { App, Button, Drawer, Form, Input, Select, Switch } from 'antd';
import { Pencil, Plus, RotateCcw, Trash2 } from 'lucide-react';
import { useState } from 'react';
import type { FindingLevel } from '../../api/types';
import { Chip, Icon, Loading, Note, PageHead, Panel, ProblemNote, Time, Who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { LEVEL_TONE } from './Findings';
import { safetyApi, type CommandPattern, type RuleBody, type SafetyRule } from './safety';
import { JobTabs } from './tabs';

const LEVELS: FindingLevel[] = ['warn', 'approve', 'block'];

export default function Rules() {
  const { t } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const [editing, setEditing] = useState<SafetyRule | 'new' | null>(null);
  const [text, setText] = useState('');
  const found = useQuery({ queryKey: ['jobs', 'rules'], queryFn: safetyApi.rules });
  const remove = useAct<SafetyRule>({ run: (r) => safetyApi.deleteRule(r.id), done: t('cmdb.saved'), stale: [['jobs']] });
  const may = can('jobs.manage');
  const words = text.trim().toLowerCase();
  const items = (found.data?.items ?? []).filter((r) => `${r.id} ${r.title} ${r.why}`.toLowerCase().includes(words));
  return (
    <div className="page">
      <PageHead
        title={t('safety.rules')}
        crumbs={[{ label: t('nav.jobs'), to: '/jobs' }]}
        sub={t('safety.rulesLead')}
        actions={
          may && (
            <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
              {t('safety.addRule')}
            </Button>
          )
        }
      />
      <JobTabs />
      <Note tone="info">{t('safety.limits')}</Note>
      {found.error ? <ProblemNote error={found.error} retry={() => void found.refetch()} /> : null}
      {found.isPending && <Loading />}
      {found.data && (
        <Panel flush title={t('safety.ruleCount', { n: items.length })} actions={<Input size="small" allowClear aria-label={t('list.search')} placeholder={t('list.search')} value={text} onChange={(e) => setText(e.target.value)} />}>
          <div className="table-wrap" tabIndex={0} role="region" aria-label={t('safety.rules')}>
            <table className="t">
              <thead>
                <tr>
                  <th scope="col">{t('safety.rule')}</th>
                  <th scope="col">{t('safety.level')}</th>
                  <th scope="col">{t('safety.why')}</th>
                  <th scope="col">{t('safety.scope')}</th>
                  <th scope="col">{t('field.updated')}</th>
                  <th scope="col">{t('list.actions')}</th>
                </tr>
              </thead>
              <tbody>
                {items.map((r) => (
                  <tr key={r.id}>
                    <td style={{ whiteSpace: 'normal', minWidth: 180 }}>
                      {r.title} <div className="faint mono">{r.built_in ? r.id : t('safety.ownRule')}</div>
                    </td>
                    <td>{r.enabled ? <Chip tone={LEVEL_TONE[r.level]}>{t(`safety.level.${r.level}`)}</Chip> : <Chip>{t('safety.off')}</Chip>}</td>
                    <td style={{ whiteSpace: 'normal', minWidth: 220 }}>
                      {r.why} <span className="dim">{r.advice}</span>
                    </td>
                    <td style={{ whiteSpace: 'normal' }}>
                      {[r.languages.join(', '), r.roles.join(', ')].filter(Boolean).join(' · ') || '—'}
                      {r.targets && <div className="mono">{r.targets}</div>}
                    </td>
                    <td>{r.updated_at ? <><Time at={r.updated_at} /> <Who actor={r.updated_by ?? ''} /></> : '—'}</td>
                    <td>
                      {may && (
                        <span className="row">
                          <Button size="small" icon={<Icon of={Pencil} />} aria-label={`${t('action.edit')} ${r.title}`} onClick={() => setEditing(r)} />
                          {(!r.built_in || r.version > 0) && (
                            <Button
                              size="small"
                              danger={!r.built_in}
                              icon={<Icon of={r.built_in ? RotateCcw : Trash2} />}
                              aria-label={`${t(r.built_in ? 'safety.asItCame' : 'action.delete')} ${r.title}`}
                              title={t(r.built_in ? 'safety.asItCame' : 'action.delete')}
                              onClick={() =>
                                modal.confirm({
                                  title: t(r.built_in ? 'safety.asItCameTitle' : 'safety.deleteTitle', { name: r.title }),
                                  okText: t(r.built_in ? 'safety.asItCame' : 'action.delete'),
                                  okButtonProps: { danger: !r.built_in },
                                  onOk: () => remove.mutateAsync(r).catch(() => {}),
                                })
                              }
                            />
                          )}
                        </span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
      )}
      <Drawer open={editing !== null} onClose={() => setEditing(null)} size={Math.min(640, window.innerWidth)} title={editing === 'new' ? t('safety.addRule') : t('safety.editRule')} destroyOnHidden>
        {editing && <RuleForm rule={editing === 'new' ? null : editing} onDone={() => setEditing(null)} />}
      </Drawer>
    </div>
  );
}

interface Fields extends CommandPattern {
  title: string;
  level: FindingLevel;
  enabled: boolean;
  languages: string[];
  kind: 'expression' | 'command';
  expression: string;
  why: string;
  advice: string;
  roles: string[];
  targets: string;
  approver: string;
}

function RuleForm({ rule, onDone }: { rule: SafetyRule | null; onDone: () => void }) {
  const { t } = useI18n();
  const [form] = Form.useForm<Fields>();
  const kind = Form.useWatch('kind', form);
  const level = Form.useWatch('level', form);
  const save = useAct<RuleBody, SafetyRule>({
    run: (b) => (rule ? safetyApi.changeRule(rule.id, b) : safetyApi.createRule(b)),
    done: t('cmdb.saved'),
    stale: [['jobs']],
    quiet: true,
    then: onDone,
  });
  const own = !rule?.built_in;
  const p = rule?.pattern;
  const several = p?.kind === 'command' && p.commands.length > 1;
  const submit = (v: Fields) => {
    const scope = { level: v.level, enabled: v.enabled, roles: v.roles ?? [], targets: v.targets ?? '', approver: v.approver ?? 'operator', ...(rule ? { version: rule.version } : {}) };
    if (!own) return save.mutate(scope);
    const text = (x?: string) => (x?.trim() ? x.trim() : undefined);
    const command: CommandPattern = { names: v.names ?? [], options: v.options ?? [], operand: text(v.operand), line: text(v.line), writes: text(v.writes), runs_text_of: v.runs_text_of ?? [] };
    const pattern = v.kind === 'expression' ? { kind: 'expression' as const, expression: v.expression } : several && p ? p : { kind: 'command' as const, commands: [command] };
    save.mutate({ ...scope, title: v.title.trim(), why: v.why.trim(), advice: v.advice?.trim() ?? '', languages: v.languages ?? [], pattern });
  };
  const required = [{ required: true, whitespace: true, message: t('form.required') }];
  const words = (placeholder: string) => <Select mode="tags" open={false} suffixIcon={null} tokenSeparators={[' ', ',']} placeholder={placeholder} />;
  return (
    <Form<Fields>
      form={form}
      layout="vertical"
      onFinish={submit}
      initialValues={{
        level: 'warn',
        enabled: true,
        languages: [],
        roles: [],
        targets: '',
        approver: 'operator',
        ...(rule ?? {}),
        kind: p?.kind === 'expression' ? 'expression' : 'command',
        ...(p?.kind === 'expression' ? { expression: p.expression } : {}),
        ...(p?.kind === 'command' ? p.commands[0] : {}),
      }}
    >
      {own ? (
        <>
          <Form.Item name="title" label={t('safety.rule')} rules={required}>
            <Input autoFocus maxLength={100} />
          </Form.Item>
          <Form.Item name="kind" label={t('safety.kind')}>
            <Select options={[{ value: 'command', label: t('safety.kind.command') }, { value: 'expression', label: t('safety.kind.expression') }]} disabled={several} />
          </Form.Item>
          {kind === 'expression' ? (
            <Form.Item name="expression" label={t('safety.kind.expression')} extra={t('safety.expressionHelp')} rules={required}>
              <Input maxLength={1000} className="mono" spellCheck={false} />
            </Form.Item>
          ) : several ? (
            <Note tone="info">{t('safety.severalCommands')}</Note>
          ) : (
            <>
              <Form.Item name="names" label={t('safety.names')} extra={t('safety.namesHelp')}>
                {words('rm')}
              </Form.Item>
              <Form.Item name="options" label={t('safety.options')} extra={t('safety.optionsHelp')}>
                {words('r|R|recursive')}
              </Form.Item>
              <Form.Item name="operand" label={t('safety.operand')} extra={t('safety.operandHelp')}>
                <Input maxLength={1000} className="mono" placeholder="^/srv/" spellCheck={false} />
              </Form.Item>
              <Form.Item name="line" label={t('safety.line')}>
                <Input maxLength={1000} className="mono" spellCheck={false} />
              </Form.Item>
              <Form.Item name="writes" label={t('safety.writes')}>
                <Input maxLength={1000} className="mono" placeholder="^/etc/" spellCheck={false} />
              </Form.Item>
              <Form.Item name="runs_text_of" label={t('safety.runsTextOf')}>
                {words('curl')}
              </Form.Item>
            </>
          )}
          <Form.Item name="languages" label={t('jobs.language')}>
            <Select mode="multiple" options={['bash', 'sh', 'python3', 'perl', 'powershell'].map((v) => ({ value: v, label: v }))} placeholder={t('safety.all')} />
          </Form.Item>
          <Form.Item name="why" label={t('safety.why')} rules={required}>
            <Input.TextArea rows={2} maxLength={1000} />
          </Form.Item>
          <Form.Item name="advice" label={t('safety.advice')}>
            <Input.TextArea rows={2} maxLength={1000} />
          </Form.Item>
        </>
      ) : (
        <p>
          <strong>{rule?.title}</strong> {rule?.why}
        </p>
      )}
      <Form.Item name="enabled" label={t('safety.counts')} valuePropName="checked">
        <Switch />
      </Form.Item>
      <Form.Item name="level" label={t('safety.level')}>
        <Select options={LEVELS.map((v) => ({ value: v, label: t(`safety.said.${v}`) }))} />
      </Form.Item>
      {level === 'approve' && (
        <Form.Item name="approver" label={t('safety.approver')}>
          <Select options={[{ value: 'operator', label: t('safety.operator') }, { value: 'administrator', label: t('safety.administrator') }]} />
        </Form.Item>
      )}
      <Form.Item name="roles" label={t('safety.roles')} extra={t('safety.rolesHelp')}>
        <Select mode="multiple" options={[{ value: 'operator', label: t('safety.operator') }, { value: 'administrator', label: t('safety.administrator') }]} placeholder={t('safety.all')} />
      </Form.Item>
      <Form.Item name="targets" label={t('safety.targets')} extra={t('safety.targetsHelp')}>
        <Input maxLength={2000} className="mono" placeholder='environment == "production"' spellCheck={false} />
      </Form.Item>
      {save.error ? <ProblemNote error={save.error} /> : null}
      <div className="row">
        <Button type="primary" htmlType="submit" loading={save.isPending}>
          {t('action.save')}
        </Button>
        <Button onClick={onDone}>{t('action.cancel')}</Button>
      </div>
    </Form>
  );
}
