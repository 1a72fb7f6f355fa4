/** One task of a drawing: a box with what it is, what it does and how it stands; a container has its tasks within. */
import {
  ArrowDownToLine, Ban, Braces, ChevronDown, ChevronLeft, ChevronRight, CircleAlert, CircleCheckBig, CircleDashed, CircleSlash, Clock, Diamond, FilePen, Filter, FunctionSquare, GitFork, GitMerge,
  Hourglass, LoaderCircle, LogIn, LogOut, OctagonAlert, Play, Radio, Repeat, RotateCcw, Send, ShieldAlert, SkipForward, SquareTerminal, Timer, TriangleAlert, Trophy, Zap, type LucideIcon,
} from 'lucide-react';
import { memo, useContext } from 'react';
import type { TaskStatus } from '../../../api/types';
import { duration } from '../../../components/format';
import { Icon, toneOf } from '../../../components/base';
import { useI18n, type Key, type T } from '../../../i18n';
import type { Extra, GNode, Kind, Mark } from './graph';
import type { Box } from './layout';
import { changeTone, ShownContext, type NodeState } from './shown';

export const KIND_ICONS: Record<Kind | Mark, LucideIcon> = {
  do: Braces, set: FilePen, call: Zap, emit: Send, for: Repeat, fork: GitFork, switch: Diamond, try: ShieldAlert, wait: Clock, raise: OctagonAlert, listen: Radio, run: SquareTerminal,
  start: Play, end: CircleSlash, exit: ArrowDownToLine, catch: TriangleAlert, function: FunctionSquare, unknown: CircleAlert,
};

const STATUS_ICONS: Record<TaskStatus, LucideIcon> = {
  pending: CircleDashed, running: LoaderCircle, waiting: Hourglass, succeeded: CircleCheckBig, failed: OctagonAlert, skipped: SkipForward, cancelled: Ban,
};

const EXTRA_ICONS: Record<Extra, LucideIcon> = { if: Filter, retry: RotateCcw, timeout: Timer, input: LogIn, output: LogOut, export: GitMerge, while: Filter, compete: Trophy };

/** What a task is, in words, for those who hear the drawing. */
export function spoken(n: GNode, state: NodeState | undefined, problems: string[] | undefined, t: T): string {
  return [
    n.name || t(`canvas.kind.${n.kind}`),
    n.name ? t(`canvas.kind.${n.kind}`) : '',
    n.text,
    ...Object.entries(n.extras).map(([k, v]) => `${t(`canvas.extra.${k as Extra}`)} ${k === 'compete' ? '' : v}`.trim()),
    state ? t(`status.${state.status}` as Key) : '',
    state && state.count > 1 ? t('canvas.times', { n: state.count }) : '',
    problems ? t('workflows.problems', { n: problems.length }) : '',
  ]
    .filter(Boolean)
    .join(', ');
}

export const NodeView = memo(function NodeView({ data }: { data: { box: Box } }) {
  const shown = useContext(ShownContext);
  const { t } = useI18n();
  const node = shown?.graph.nodes.get(data.box.id);
  if (!shown || !node) return null;
  if (node.kind === 'start' || node.kind === 'end' || node.kind === 'exit') {
    return (
      <span className={`wf-mark ${node.kind}`} role="img" aria-label={t(`canvas.kind.${node.kind}`)} title={t(`canvas.kind.${node.kind}`)}>
        <Icon of={KIND_ICONS[node.kind]} />
      </span>
    );
  }
  const state = shown.states?.get(node.id);
  const problems = shown.problems?.get(node.id);
  const change = shown.changes?.get(node.id);
  const round = shown.rounds?.get(node.id);
  const { box } = data;
  const classes = [
    box.open ? 'wf-box' : 'wf-node',
    `k-${node.kind}`,
    state ? `st-${toneOf(state.status)} has-state` : shown.states ? 'not-begun' : '',
    change ? `st-${changeTone[change]} changed` : '',
    problems ? 'wrong' : '',
    shown.selected === node.id ? 'picked' : '',
  ].join(' ');
  const label = spoken(node, state, problems, t);
  return (
    <div className={classes}>
      <div className="wf-head">
        <button
          type="button"
          className="wf-pick"
          id={`wf-${node.id}`}
          aria-label={label}
          aria-pressed={shown.selected === node.id}
          title={problems ? problems.join('\n') : [node.name, node.text].filter(Boolean).join('\n')}
          onClick={() => shown.onPick(node.id)}
          onKeyDown={(e) => shown.onKey(node.id, e)}
        >
          <span className="wf-icon">
            <Icon of={KIND_ICONS[node.kind]} />
          </span>
          <span className="wf-words">
            <span className="wf-name">{node.name || t(`canvas.kind.${node.kind}`)}</span>
            {node.text ? <code className="wf-text">{node.text}</code> : <span className="wf-text">{node.name ? t(`canvas.kind.${node.kind}`) : ''}</span>}
          </span>
          <span className="wf-side">
            <span className="wf-extras">
              {Object.entries(node.extras).map(([k, v]) => (
                <span key={k} title={`${t(`canvas.extra.${k as Extra}`)} ${v}`}>
                  <Icon of={EXTRA_ICONS[k as Extra]} />
                </span>
              ))}
              {problems && <Icon of={CircleAlert} />}
            </span>
            {state && (
              <span className={`wf-state ${state.status}`}>
                {state.count > 1 && <span className="wf-count">{state.failed > 0 && state.failed < state.count ? `${state.failed}/${state.count}` : `×${state.count}`}</span>}
                {state.count === 1 && state.finished && state.ms !== null && <span className="wf-count">{duration(state.ms)}</span>}
                <Icon of={STATUS_ICONS[state.status]} />
              </span>
            )}
          </span>
        </button>
        {round && round.total > 1 && (
          <span className="wf-round">
            <button type="button" className="icon-btn" disabled={round.at <= 0} aria-label={t('canvas.roundBefore', { name: node.name })} onClick={() => shown.onRound(node.id, round.at - 1)}>
              <Icon of={ChevronLeft} />
            </button>
            <span title={t('canvas.roundOf', { n: round.at + 1, total: round.total })}>
              {round.at + 1}/{round.total}
            </span>
            <button type="button" className="icon-btn" disabled={round.at + 1 >= round.total} aria-label={t('canvas.roundAfter', { name: node.name })} onClick={() => shown.onRound(node.id, round.at + 1)}>
              <Icon of={ChevronRight} />
            </button>
          </span>
        )}
        {box.container && (
          <button type="button" className="icon-btn wf-fold" aria-expanded={box.open} aria-label={t('workflows.fold', { name: node.name || t(`canvas.kind.${node.kind}`) })} onClick={() => shown.onFold(node.id)}>
            <Icon of={box.open ? ChevronDown : ChevronRight} />
          </button>
        )}
      </div>
    </div>
  );
});
