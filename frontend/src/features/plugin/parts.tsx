/** What the blocks of declared pages share: their data, cells and buttons. */
import { App, Button, Modal } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import type { Json } from '../../api/types';
import { Clip, JsonView, ProblemNote, Status, Time } from '../../components/base';
import { bytes, duration, quantity } from '../../components/format';
import { check, defaults, isObject, SchemaForm, type FieldError, type Schema } from '../../components/SchemaForm';
import { useAct } from '../../components/useAct';
import { useI18n, type Text } from '../../i18n';
import { act, fillPath, moment, pick, read, type ActionSpec, type CellKind, type ColumnSpec, type Source } from './declared';
import { portalPath } from './path';

export function useSource(plugin: string, source: Source | undefined, seconds?: number) {
  return useQuery({
    queryKey: ['plugin-data', plugin, JSON.stringify(source ?? null)],
    queryFn: async () => (await read(plugin, source ?? '/')) ?? null,
    enabled: source !== undefined,
    refetchInterval: seconds ? Math.max(5, seconds) * 1000 : false,
    retry: false,
  });
}

export function rowKey(r: Json, i: number): string {
  return isObject(r) && (typeof r.id === 'string' || typeof r.id === 'number') ? String(r.id) : String(i);
}

export function numeric(kind: CellKind | undefined): boolean {
  return kind === 'number' || kind === 'bytes' || kind === 'duration';
}

export function LinkedCell({ column, row }: { column: ColumnSpec; row: Json }) {
  const cell = <Cell value={pick(row, column.field)} kind={column.kind} unit={column.unit} />;
  const to = column.link ? portalPath(fillPath(column.link, row)) : null;
  return to ? <Link to={to}>{cell}</Link> : cell;
}

export function Cell({ value, kind, unit }: { value: Json | undefined; kind?: CellKind; unit?: string }) {
  const { t, tl, locale } = useI18n();
  if (value === null || value === undefined || value === '') return <span className="faint">—</span>;
  switch (kind) {
    case 'number':
      return <>{typeof value === 'number' ? quantity(value, unit, locale) : String(value)}</>;
    case 'bytes':
      return <>{typeof value === 'number' ? bytes(value) : String(value)}</>;
    case 'duration':
      return <>{typeof value === 'number' ? duration(value) : String(value)}</>;
    case 'time':
      return <Time at={moment(value) ?? String(value)} />;
    case 'status':
      return <Status value={String(value)} />;
    case 'boolean':
      return <>{value ? t('value.yes') : t('value.no')}</>;
    case 'code':
      return <code>{String(value)}</code>;
    case 'json':
      return <JsonView value={value} />;
    default:
      return typeof value === 'object' ? <Clip width={360}>{isObject(value) && ('en' in value || 'zh' in value) ? tl(value as Record<string, string>) : JSON.stringify(value)}</Clip> : <Clip width={360}>{String(value)}</Clip>;
  }
}

interface Given {
  record?: Json;
  value?: Json;
}

export function useDo(plugin: string, a: ActionSpec) {
  const { t, tl } = useI18n();
  const navigate = useNavigate();
  return useAct<Given, Json>({
    run: ({ record, value }) => act(plugin, a, record, value),
    done: tl(a.done) || t('plugin.done'),
    stale: [['plugin-data', plugin]],
    quiet: true,
    then: (answer) => {
      const to = a.then ? portalPath(fillPath(a.then, answer)) : null;
      if (to) void navigate({ to: to as never });
    },
  });
}

export function ActionButton({ action, plugin, record, small }: { action: ActionSpec; plugin: string; record?: Json; small?: boolean }) {
  const { tl } = useI18n();
  const { modal } = App.useApp();
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const run = useDo(plugin, action);
  const go = () => run.mutateAsync({ record }).catch(setProblem);
  return (
    <>
      <Button
        size={small ? 'small' : 'middle'}
        type={action.style === 'primary' ? 'primary' : 'default'}
        danger={action.style === 'danger'}
        loading={run.isPending}
        onClick={() => {
          setProblem(null);
          if (action.form) setAsking(true);
          else if (tl(action.confirm)) modal.confirm({ title: tl(action.confirm), okText: tl(action.title), okButtonProps: { danger: action.style === 'danger' }, onOk: go });
          else void go();
        }}
      >
        {tl(action.title)}
      </Button>
      {problem ? (
        <Modal open onCancel={() => setProblem(null)} footer={null} title={tl(action.title)}>
          <ProblemNote error={problem} />
        </Modal>
      ) : null}
      {asking && action.form && <FormDialog action={action} schema={action.form} run={run} record={record} onClose={() => setAsking(false)} />}
    </>
  );
}

function FormDialog({ action, schema, run, record, onClose }: { action: ActionSpec; schema: Schema; run: ReturnType<typeof useDo>; record?: Json; onClose: () => void }) {
  const { tl } = useI18n();
  const [value, setValue] = useState<Json | undefined>(() => {
    const start = defaults(schema) ?? {};
    // Fields of the record fill the form's fields of the same name.
    if (!isObject(record) || !isObject(start)) return start;
    const own = Object.fromEntries(Object.entries(record).filter(([k]) => schema.properties && k in schema.properties));
    return { ...start, ...own };
  });
  const [errors, setErrors] = useState<FieldError[]>([]);
  return (
    <Modal
      open
      onCancel={onClose}
      title={tl(action.title)}
      okText={tl(action.title)}
      confirmLoading={run.isPending}
      onOk={() => {
        const found = check(schema, value);
        setErrors(found);
        if (found.length === 0) run.mutate({ record, value: value ?? {} }, { onSuccess: onClose });
      }}
    >
      <div className="stack">
        {tl(action.confirm) && <p>{tl(action.confirm)}</p>}
        <SchemaForm schema={schema} value={value} onChange={setValue} errors={errors} />
        <ProblemNote error={run.error} />
      </div>
    </Modal>
  );
}

/** A text of an answer: in the reader's language where it comes in several. */
export function useWords(): (v: Json | undefined) => string {
  const { tl } = useI18n();
  return (v) => (v === null || v === undefined ? '' : typeof v === 'string' ? v : isObject(v) ? tl(v as Text) : String(v));
}
