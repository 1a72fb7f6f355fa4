/** A run over time: a row for each task, its bar where it ran. Only the rows in view are drawn. */
import { Slider } from 'antd';
import { ChevronDown, ChevronRight } from 'lucide-react';
import { useEffect, useMemo, useRef, useState } from 'react';
import type { Run, Task } from '../../../api/types';
import { Icon, toneOf } from '../../../components/base';
import { absoluteTime, duration } from '../../../components/format';
import { useI18n, type Key } from '../../../i18n';
import { taskTree, visible } from '../taskTree';
import { bar, inView, marks } from './timeline';

const ROW = 26;

export function Timeline({ run, tasks, selected, onSelect }: { run: Run; tasks: Task[]; selected: number | null; onSelect: (id: number | null) => void }) {
  const { t, locale } = useI18n();
  const box = useRef<HTMLDivElement>(null);
  const [folded, setFolded] = useState<ReadonlySet<number>>(new Set());
  const [zoom, setZoom] = useState(0);
  const [view, setView] = useState({ top: 0, height: 600, width: 900 });
  const [now, setNow] = useState(() => Date.now());
  const rows = useMemo(() => visible(taskTree(tasks), folded as Set<number>), [tasks, folded]);
  useEffect(() => {
    if (run.finished_at) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [run.finished_at]);
  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const look = () => setView({ top: el.scrollTop, height: el.clientHeight || 600, width: el.clientWidth || 900 });
    look();
    el.addEventListener('scroll', look, { passive: true });
    const size = new ResizeObserver(look);
    size.observe(el);
    return () => {
      el.removeEventListener('scroll', look);
      size.disconnect();
    };
  }, []);
  const from = Date.parse(run.started_at);
  const to = Math.max(from + 1, run.finished_at ? Date.parse(run.finished_at) : now);
  const names = view.width < 600 ? 130 : 240;
  const lane = Math.max(160, view.width - names - 70) * 2 ** zoom;
  const scale = marks(to - from, Math.max(2, Math.floor(lane / 110)));
  const { from: first, to: last } = inView(view.top, view.height, ROW, rows.length);
  const toggle = (id: number) =>
    setFolded((old) => {
      const next = new Set(old);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  return (
    <div>
      <div className="row wrap" style={{ padding: '4px 12px' }}>
        <span className="dim" id="gantt-zoom">
          {t('run.zoom')}
        </span>
        <Slider style={{ width: 140 }} min={0} max={8} value={zoom} onChange={setZoom} tooltip={{ open: false }} ariaLabelledByForHandle="gantt-zoom" />
        <span className="dim">{t('run.span', { from: absoluteTime(new Date(from), locale), time: duration(to - from) })}</span>
      </div>
      <div className="gantt" ref={box} role="region" aria-label={t('run.timeline')} tabIndex={0}>
        <div className="gantt-all" style={{ width: names + lane + 70, height: rows.length * ROW + 24 }}>
          <div className="gantt-head" style={{ paddingLeft: names }}>
            {scale.map((m) => (
              <span key={m} style={{ left: names + (m / (to - from)) * lane }}>
                {m === 0 ? '0' : duration(m)}
              </span>
            ))}
          </div>
          {rows.slice(first, last).map(({ task, depth, children }, i) => {
            const end = task.finished_at ? Date.parse(task.finished_at) : to;
            const b = bar(Date.parse(task.started_at), end, from, to);
            const took = duration(Math.max(0, end - Date.parse(task.started_at)));
            return (
              <div key={task.id} className={`gantt-row ${selected === task.id ? 'picked' : ''}`} style={{ top: 24 + (first + i) * ROW, height: ROW }}>
                <span className="gantt-name" style={{ width: names, paddingLeft: 4 + Math.min(depth, 8) * 12 }}>
                  {children.length > 0 ? (
                    <button type="button" className="icon-btn" aria-expanded={!folded.has(task.id)} aria-label={t('workflows.fold', { name: task.name })} onClick={() => toggle(task.id)}>
                      <Icon of={folded.has(task.id) ? ChevronRight : ChevronDown} />
                    </button>
                  ) : (
                    <i />
                  )}
                  <button type="button" className="gantt-pick" aria-label={`${task.name}, ${t(`status.${task.status}` as Key)}, ${took}`} aria-pressed={selected === task.id} title={task.name} onClick={() => onSelect(selected === task.id ? null : task.id)}>
                    {task.name}
                  </button>
                </span>
                <span className="gantt-lane" aria-hidden="true" onClick={() => onSelect(selected === task.id ? null : task.id)}>
                  <i className={`st-${toneOf(task.status)} ${task.status}`} style={{ left: b.left * lane, width: Math.max(2, b.width * lane) }} />
                  <small style={{ left: (b.left + b.width) * lane + 6 }}>{took}</small>
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
