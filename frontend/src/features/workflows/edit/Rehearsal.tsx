/** A rehearsal of what is written: with given answers in place of calls, then step by step with the data at each. */
import { Button, Select, Slider } from 'antd';
import { ChevronLeft, ChevronRight, Drama, X } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../../api/endpoints';
import type { ActionInfo, Json, Rehearsal as Result, RehearsedAnswer, Task } from '../../../api/types';
import { Icon, JsonView, Note, ProblemNote, Status } from '../../../components/base';
import { defaults, isObject, JsonField } from '../../../components/SchemaForm';
import { useAct } from '../../../components/useAct';
import { useI18n } from '../../../i18n';
import type { Graph } from '../canvas/graph';
import { WorkflowError } from '../run/TaskPanel';
import { asSchema, InputFields } from '../StartDialog';
import { answerOf } from './blocks';

export interface Rehearsed {
  result: Result;
  /** How many tasks have begun by now. */
  at: number;
}

interface Props {
  source: string;
  graph: Graph;
  schema: Json;
  actions: readonly ActionInfo[];
  value: Rehearsed | null;
  onChange: (v: Rehearsed | null) => void;
  onClose: () => void;
}

/** Tasks that ask the outside for something, and so need an answer. */
const asks = (graph: Graph) => [...graph.nodes.values()].filter((n) => n.kind === 'call' || n.kind === 'run' || n.kind === 'listen');

export function Rehearsal({ source, graph, schema: raw, actions, value, onChange, onClose }: Props) {
  const { t } = useI18n();
  const schema = asSchema(raw);
  const [input, setInput] = useState<Json | undefined>(() => defaults(schema ?? undefined) ?? {});
  const [answers, setAnswers] = useState<Record<string, RehearsedAnswer>>({});
  const [open, setOpen] = useState<string | null>(null);
  const asking = asks(graph);
  const usual = (id: string): RehearsedAnswer => {
    const node = graph.nodes.get(id);
    if (node?.kind === 'listen') return { output: [{ type: node.text.split(': ').at(-1)?.split(', ')[0] ?? '', source: 'urn:rehearsal', data: {} }] };
    return { output: answerOf(actions.find((a) => a.name === node?.text)) };
  };
  const go = useAct<void, Result>({
    run: () => api.runs.rehearse({ source, input: input ?? {}, answers: Object.fromEntries(asking.map((n) => [n.id, answers[n.id] ?? usual(n.id)])) }),
    quiet: true,
    then: (result) => onChange({ result, at: Math.min(1, result.tasks.length) }),
  });
  return (
    <section className="wf-panel" aria-label={t('rehearsal.title')}>
      <header className="row between">
        <h3 style={{ fontSize: 14 }}>{t('rehearsal.title')}</h3>
        <button type="button" className="icon-btn" aria-label={t('action.close')} onClick={onClose}>
          <Icon of={X} />
        </button>
      </header>
      {value ? (
        <Steps value={value} onChange={onChange} graph={graph} />
      ) : (
        <>
          <p className="dim">{t('rehearsal.lead')}</p>
          <fieldset>
            <legend>{t('workflows.input')}</legend>
            <InputFields schema={schema} value={input} onChange={setInput} errors={[]} />
          </fieldset>
          {asking.length > 0 && (
            <fieldset>
              <legend>{t('rehearsal.answers')}</legend>
              <div className="stack tight">
                {asking.map((n) => {
                  const answer = answers[n.id] ?? usual(n.id);
                  const fails = answer.error !== undefined;
                  return (
                    <div key={n.id} className="wf-case">
                      <div className="row">
                        <button type="button" className="link-btn grow" aria-expanded={open === n.id} onClick={() => setOpen(open === n.id ? null : n.id)}>
                          {n.name} <code className="faint">{n.text}</code>
                        </button>
                        <Select
                          size="small"
                          style={{ width: 120 }}
                          aria-label={t('rehearsal.how', { name: n.name })}
                          value={fails ? 'fails' : 'answers'}
                          options={[
                            { value: 'answers', label: t('rehearsal.succeeds') },
                            { value: 'fails', label: t('rehearsal.fails') },
                          ]}
                          onChange={(how: string) => {
                            setAnswers({ ...answers, [n.id]: how === 'fails' ? { error: { status: 503, title: 'Busy' } } : usual(n.id) });
                            setOpen(n.id);
                          }}
                        />
                      </div>
                      {open === n.id && <JsonField key={String(fails)} label={t('rehearsal.answerOf', { name: n.name })} value={fails ? answer.error : answer.output} onChange={(v) => setAnswers({ ...answers, [n.id]: fails ? { error: v ?? {} } : { output: v ?? null } })} />}
                    </div>
                  );
                })}
              </div>
            </fieldset>
          )}
          <ProblemNote error={go.error} />
          <Button type="primary" icon={<Icon of={Drama} />} loading={go.isPending} onClick={() => go.mutate()}>
            {t('rehearsal.go')}
          </Button>
        </>
      )}
    </section>
  );
}

function Steps({ value: { result, at }, onChange, graph }: { value: Rehearsed; onChange: (v: Rehearsed | null) => void; graph: Graph }) {
  const { t } = useI18n();
  const task: Task | undefined = result.tasks[at - 1];
  const to = (n: number) => onChange({ result, at: Math.min(result.tasks.length, Math.max(1, n)) });
  const last = at >= result.tasks.length;
  return (
    <>
      <div className="row wrap">
        <Status value={result.status} still />
        <Button size="small" onClick={() => onChange(null)}>
          {t('rehearsal.again')}
        </Button>
      </div>
      {result.stopped && <Note tone="warn" title={t('rehearsal.stopped')}>{result.stopped}</Note>}
      {result.unanswered.length > 0 && <Note tone="info">{t('rehearsal.unanswered', { names: result.unanswered.map((p) => graph.nodes.get(p)?.name ?? p).join(', ') })}</Note>}
      {result.tasks.length > 0 && (
        <>
          <div className="row" style={{ gap: 4 }}>
            <Button size="small" aria-label={t('rehearsal.back')} icon={<Icon of={ChevronLeft} />} disabled={at <= 1} onClick={() => to(at - 1)} />
            <Slider style={{ flex: 1 }} min={1} max={Math.max(2, result.tasks.length)} value={at} onChange={to} tooltip={{ open: false }} ariaLabelForHandle={t('rehearsal.step', { n: at, of: result.tasks.length })} />
            <Button size="small" aria-label={t('rehearsal.on')} icon={<Icon of={ChevronRight} />} disabled={last} onClick={() => to(at + 1)} />
          </div>
          <p className="dim" aria-live="polite">
            {t('rehearsal.step', { n: at, of: result.tasks.length })}
          </p>
        </>
      )}
      {task && (
        <>
          <div className="row wrap">
            <strong>{task.name}</strong>
            <Status value={task.status} still />
            <code className="faint">{task.action ?? task.kind}</code>
          </div>
          {isObject(task.error) && <WorkflowError error={task.error} />}
          <h4 className="sub-title">{t('workflows.input')}</h4>
          <JsonView value={task.input} />
          <h4 className="sub-title">{t('workflows.output')}</h4>
          <JsonView value={task.output} />
        </>
      )}
      {last && (
        <>
          <h4 className="sub-title">{t('rehearsal.end')}</h4>
          {isObject(result.error) ? <WorkflowError error={result.error} /> : <JsonView value={result.output} />}
        </>
      )}
    </>
  );
}
