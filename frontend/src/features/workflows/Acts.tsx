import { Button, Checkbox, Dropdown, Input, Modal } from 'antd';
import { useNavigate } from '@tanstack/react-router';
import { Ban, CornerUpLeft, Pause, Play, RotateCcw, SkipForward, SquarePlay, TriangleAlert, Wrench } from 'lucide-react';
import { useId, useState } from 'react';
import { api } from '../../api/endpoints';
import type { Act, Json, Run, Task } from '../../api/types';
import { Icon, ProblemNote } from '../../components/base';
import { JsonField } from '../../components/SchemaForm';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';

const ICONS: Record<Act, typeof Pause> = {
  pause: Pause,
  resume: Play,
  retry: RotateCcw,
  skip: SkipForward,
  fail: TriangleAlert,
  jump: CornerUpLeft,
  restart: SquarePlay,
  cancel: Ban,
};

/** The act's name in the catalog of texts. */
const named = (act: Act) => (act === 'cancel' ? ('workflows.cancel' as const) : (`act.${act}` as const));

/** What may go along with an act, and what it starts from. */
function valueOf(act: Act, task: Task | null): { name: 'input' | 'output'; value: Json } | null {
  if (!task) return null;
  if (act === 'retry' || act === 'jump' || act === 'restart') return { name: 'input', value: task.input };
  if (act === 'skip') return { name: 'output', value: task.output ?? task.input };
  return null;
}

/** The run's own acts: hold it back, let it go on, end it. */
export function RunActs({ run }: { run: Run }) {
  const { t } = useI18n();
  const [open, setOpen] = useState<Act | null>(null);
  return (
    <>
      {run.acts.map((a) => (
        <Button key={a} danger={a === 'cancel'} icon={<Icon of={ICONS[a]} />} onClick={() => setOpen(a)}>
          {t(named(a))}
        </Button>
      ))}
      {open && <ActDialog run={run.id} task={null} act={open} onClose={() => setOpen(null)} />}
    </>
  );
}

/** What an operator may do with a task now. */
export function TaskActs({ run, task }: { run: string; task: Task }) {
  const { t } = useI18n();
  const [open, setOpen] = useState<Act | null>(null);
  if (task.acts.length === 0) return null;
  const items = task.acts.map((a) => ({ key: a, label: t(named(a)), icon: <Icon of={ICONS[a]} />, danger: a === 'fail' }));
  return (
    <>
      <Dropdown trigger={['click']} menu={{ items, onClick: ({ key }) => setOpen(key as Act) }}>
        <Button size="small" icon={<Icon of={Wrench} />} aria-label={t('act.of', { name: task.name })}>
          {t('act.menu')}
        </Button>
      </Dropdown>
      {open && <ActDialog run={run} task={task} act={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function ActDialog({ run, task, act, onClose }: { run: string; task: Task | null; act: Act; onClose: () => void }) {
  const { t } = useI18n();
  const navigate = useNavigate();
  const label = useId();
  const [reason, setReason] = useState('');
  const from = valueOf(act, task);
  const [change, setChange] = useState(act === 'skip');
  const [value, setValue] = useState<Json | undefined>(from?.value);
  const order = useAct<void, Run>({
    run: () => {
      const body = { reason: reason.trim(), ...(from && change ? { [from.name]: value ?? null } : {}) };
      return task ? api.runs.taskAct(run, task.id, act, body) : api.runs.act(run, act, body);
    },
    done: t('act.done'),
    stale: [['runs']],
    quiet: true,
    then: (r) => {
      onClose();
      if (r.id !== run) void navigate({ to: `/runs/${r.id}` });
    },
  });
  const name = t(named(act));
  return (
    <Modal
      open
      onCancel={onClose}
      title={task ? `${name}: ${task.name}` : name}
      okText={name}
      okButtonProps={{ disabled: reason.trim() === '', danger: act === 'cancel' || act === 'fail' }}
      confirmLoading={order.isPending}
      onOk={() => order.mutate()}
      width={from ? 640 : 480}
    >
      <div className="stack">
        <p className="dim">{t(act === 'cancel' ? 'workflows.cancelText' : `act.${act}Text`)}</p>
        <div>
          <label htmlFor={label}>{t('act.reason')}</label>
          <Input id={label} autoFocus maxLength={500} value={reason} onChange={(e) => setReason(e.target.value)} onPressEnter={() => reason.trim() && order.mutate()} />
        </div>
        {from && (
          <div>
            <Checkbox checked={change} onChange={(e) => setChange(e.target.checked)}>
              {t(from.name === 'input' ? 'act.withInput' : 'act.withOutput')}
            </Checkbox>
            {change && <JsonField value={value} onChange={setValue} label={t(from.name === 'input' ? 'workflows.input' : 'workflows.output')} />}
          </div>
        )}
        <ProblemNote error={order.error} />
      </div>
    </Modal>
  );
}
