import { Form, Input, Modal, Select, Switch } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Problem } from '../../api/client';
import { api } from '../../api/endpoints';
import type { Json, Schedule } from '../../api/types';
import { Note, ProblemNote } from '../../components/base';
import { absoluteTime } from '../../components/format';
import { useDebounced } from '../../components/FilterInput';
import { check, defaults, type FieldError } from '../../components/SchemaForm';
import { useAct } from '../../components/useAct';
import { useI18n, type Key } from '../../i18n';
import { asSchema, InputFields } from './StartDialog';

const PRESETS: [string, Key][] = [
  ['*/15 * * * *', 'cron.quarter'],
  ['0 * * * *', 'cron.hourly'],
  ['30 2 * * *', 'cron.nightly'],
  ['0 8 * * 1-5', 'cron.workdays'],
  ['0 3 * * 0', 'cron.weekly'],
  ['0 4 1 * *', 'cron.monthly'],
];

interface Draft {
  name: string;
  cron: string;
  timezone: string;
  target: string;
  enabled: boolean;
}

export function zones(): string[] {
  return [...new Set(['UTC', ...Intl.supportedValuesOf('timeZone')])];
}

/** What the host makes of a cron expression: its next five times, or what is wrong with it. */
export function NextTimes({ cron, timezone }: { cron: string; timezone: string }) {
  const { t, locale } = useI18n();
  const asked = useDebounced(JSON.stringify([cron.trim(), timezone]), 250);
  const [c, z] = JSON.parse(asked) as [string, string];
  const preview = useQuery({ queryKey: ['schedules', 'preview', c, z], queryFn: () => api.schedules.preview(c, z), enabled: c !== '' && z !== '', retry: false, placeholderData: (o) => o });
  if (!c || !z) return null;
  if (preview.error) return <Note tone="bad">{preview.error instanceof Problem && preview.error.detail ? preview.error.detail : t('problem.failed')}</Note>;
  if (!preview.data) return null;
  return (
    <div aria-live="polite">
      <span className="dim">{t('schedules.next')}</span>
      <ol>
        {preview.data.times.map((time) => (
          <li key={time}>
            <time dateTime={time}>{inZone(time, z, locale)}</time> <span className="faint">{absoluteTime(new Date(time), locale)}</span>
          </li>
        ))}
      </ol>
      {preview.data.times.length === 0 && <Note tone="warn">{t('schedules.never')}</Note>}
    </div>
  );
}

function inZone(time: string, zone: string, locale: string): string {
  try {
    return new Intl.DateTimeFormat(locale === 'zh' ? 'zh-CN' : 'en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: zone, hour12: false }).format(new Date(time)) + ` ${zone}`;
  } catch {
    return time;
  }
}

export function ScheduleDialog({ schedule, target, onClose }: { schedule?: Schedule; target?: Schedule['target']; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [form] = Form.useForm<Draft>();
  const cron = Form.useWatch('cron', form) ?? '';
  const timezone = Form.useWatch('timezone', form) ?? '';
  const chosen = Form.useWatch('target', form) ?? '';
  const [input, setInput] = useState<Json | undefined>(schedule?.input ?? undefined);
  const [errors, setErrors] = useState<FieldError[]>([]);
  const workflows = useQuery({ queryKey: ['workflows', 'all'], queryFn: () => api.workflows.list({ limit: 500 }) });
  const actions = useQuery({ queryKey: ['actions'], queryFn: api.workflows.actions });
  const [kind, name] = split(chosen);
  const schema = asSchema(kind === 'workflow' ? workflows.data?.items.find((w) => w.name === name)?.input_schema : actions.data?.items.find((a) => a.name === name)?.input_schema);
  const save = useAct<Draft, Schedule>({
    run: (d) => {
      const [k, n] = split(d.target);
      const common = { name: d.name.trim(), cron: d.cron.trim(), timezone: d.timezone, input: input ?? defaults(schema ?? undefined) ?? {}, enabled: d.enabled };
      return schedule ? api.schedules.update(schedule.id, common) : api.schedules.create({ ...common, target: { kind: k, name: n } });
    },
    done: t('cmdb.saved'),
    stale: [['schedules']],
    quiet: true,
    then: onClose,
  });
  const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return (
    <Modal
      open
      onCancel={onClose}
      title={schedule ? t('schedules.edit') : t('schedules.new')}
      okText={t('action.save')}
      confirmLoading={save.isPending}
      onOk={() => form.submit()}
      width={680}
    >
      <Form<Draft>
        form={form}
        layout="vertical"
        initialValues={
          schedule
            ? { name: schedule.name, cron: schedule.cron, timezone: schedule.timezone, enabled: schedule.enabled, target: `${schedule.target.kind}:${schedule.target.name}` }
            : { name: target?.name ?? '', cron: '30 2 * * *', timezone: local || 'UTC', enabled: true, target: target ? `${target.kind}:${target.name}` : undefined }
        }
        onFinish={(d) => {
          const found = schema ? check(schema, input ?? defaults(schema) ?? {}) : [];
          setErrors(found);
          if (found.length === 0) save.mutate(d);
        }}
      >
        <div className="form-grid">
          <Form.Item name="name" label={t('schedules.name')} rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
            <Input />
          </Form.Item>
          <Form.Item name="target" label={t('schedules.target')} rules={[{ required: true, message: t('form.required') }]}>
            <Select
              disabled={Boolean(schedule)}
              showSearch
              onChange={() => setInput(undefined)}
              options={[
                { label: t('nav.workflows'), options: (workflows.data?.items ?? []).map((w) => ({ value: `workflow:${w.name}`, label: w.title === w.name ? w.name : `${w.title} (${w.name})` })) },
                { label: t('schedules.actions'), options: (actions.data?.items ?? []).map((a) => ({ value: `action:${a.name}`, label: tl(a.title) ? `${tl(a.title)} (${a.name})` : a.name })) },
              ]}
              optionFilterProp="label"
            />
          </Form.Item>
          <Form.Item label={t('schedules.cron')} extra={t('schedules.cronHint')} required>
            <div className="row">
              <Form.Item name="cron" noStyle rules={[{ required: true, whitespace: true, message: t('form.required') }]}>
                <Input className="mono-input" aria-label={t('schedules.cron')} spellCheck={false} />
              </Form.Item>
              <Select
                aria-label={t('schedules.presets')}
                placeholder={t('schedules.presets')}
                value={null}
                popupMatchSelectWidth={false}
                style={{ width: 110 }}
                options={PRESETS.map(([value, label]) => ({ value, label: t(label) }))}
                onChange={(v: string | null) => v && form.setFieldValue('cron', v)}
              />
            </div>
          </Form.Item>
          <Form.Item name="timezone" label={t('schedules.timezone')} rules={[{ required: true }]}>
            <Select showSearch options={zones().map((z) => ({ value: z, label: z }))} />
          </Form.Item>
          <Form.Item name="enabled" label={t('schedules.enabled')} valuePropName="checked">
            <Switch />
          </Form.Item>
        </div>
        <div className="stack">
          <NextTimes cron={cron} timezone={timezone} />
          {chosen && (
            <fieldset>
              <legend>{t('workflows.input')}</legend>
              <InputFields key={chosen + (schema ? 's' : '')} schema={schema} value={input ?? defaults(schema ?? undefined) ?? {}} onChange={setInput} errors={errors} />
            </fieldset>
          )}
          <ProblemNote error={save.error} />
        </div>
      </Form>
    </Modal>
  );
}

function split(v: string): ['workflow' | 'action', string] {
  const i = v.indexOf(':');
  return [v.slice(0, i) === 'action' ? 'action' : 'workflow', v.slice(i + 1)];
}
