/** The drawing of a definition. Loaded only where one is shown: it brings the canvas library along. */
import { Background, BackgroundVariant, MiniMap, ReactFlow, ReactFlowProvider, useReactFlow, useStore, ViewportPortal, type Node } from '@xyflow/react';
import '@xyflow/react/dist/base.css';
import { Select } from 'antd';
import { Maximize, Minus, Plus, UnfoldVertical, FoldVertical } from 'lucide-react';
import { memo, useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';
import { Icon, toneOf } from '../../../components/base';
import { useI18n } from '../../../i18n';
import type { Graph } from './graph';
import { layout, pathOf, type Box, type Layout } from './layout';
import { KIND_ICONS, NodeView } from './NodeView';
import { changeTone, ShownContext, type Change, type NodeState, type Round, type Shown } from './shown';
import './drawing.css';

interface Props {
  graph: Graph;
  /** What the drawing is of, for those who hear it. */
  label: string;
  states?: ReadonlyMap<string, NodeState> | null;
  problems?: ReadonlyMap<string, string[]> | null;
  changes?: ReadonlyMap<string, Change> | null;
  rounds?: ReadonlyMap<string, Round> | null;
  onRound?: (id: string, at: number) => void;
  selected?: string | null;
  onSelect?: ((id: string | null) => void) | null;
  /** Keys that mean something to who shows it; true when it was one. */
  onKey?: (id: string, e: KeyboardEvent) => boolean;
  height?: string;
  /** Stands over the drawing, at its right edge. */
  over?: ReactNode;
  tools?: ReactNode;
}

const nodeTypes = { task: NodeView };
const NONE: ReadonlySet<string> = new Set();
const ZOOM = { min: 0.1, max: 1.6 };

export default function Drawing(props: Props) {
  return (
    <ReactFlowProvider>
      <Inner {...props} />
    </ReactFlowProvider>
  );
}

/** The order in which the arrow keys go: as one reads, from the outside in. */
export const reading = (l: Layout): Box[] => l.boxes.filter((b) => !/#(start|end|exit)$/.test(b.id));

function Inner({ graph, label, states = null, problems = null, changes = null, rounds = null, onRound, selected = null, onSelect, onKey, height = 'min(68vh, 720px)', over, tools }: Props) {
  const { t } = useI18n();
  const [folded, setFolded] = useState<ReadonlySet<string>>(NONE);
  const placed = useMemo(() => layout(graph, folded), [graph, folded]);
  const flow = useReactFlow();
  const paneW = useStore((s) => s.width);
  const paneH = useStore((s) => s.height);
  const box = useRef<HTMLDivElement>(null);
  const boxes = useMemo(() => new Map(placed.boxes.map((b) => [b.id, b])), [placed]);
  const nodes = useMemo<Node[]>(
    () => placed.boxes.map((b) => ({ id: b.id, type: 'task', position: { x: b.x, y: b.y }, width: b.w, height: b.h, data: { box: b }, zIndex: b.open ? b.depth : 1000, draggable: false, selectable: false, focusable: false })),
    [placed],
  );

  // At first: all of it when that can be read, else its beginning.
  const shownOnce = useRef(false);
  const whole = useCallback(
    (readable: boolean) => {
      const margin = 24;
      // Below what stands over the drawing.
      const above = 48;
      const fit = Math.min((paneW - 2 * margin) / Math.max(1, placed.w), (paneH - margin - above) / Math.max(1, placed.h));
      const across = (paneW - 2 * margin) / Math.max(1, placed.w);
      const zoom = Math.min(1, Math.max(readable ? Math.max(fit, Math.min(0.85, across)) : fit, readable ? 0.55 : ZOOM.min));
      const x = placed.w * zoom + 2 * margin <= paneW ? (paneW - placed.w * zoom) / 2 : readable ? startOf(placed) * -zoom + paneW / 2 : margin;
      const y = Math.max(above, Math.min(above * 2, (paneH - placed.h * zoom) / 2));
      void flow.setViewport({ x, y, zoom });
    },
    [flow, paneW, paneH, placed],
  );
  useEffect(() => {
    if (shownOnce.current || paneW === 0 || placed.boxes.length === 0) return;
    shownOnce.current = true;
    whole(true);
  }, [whole, paneW, placed]);

  // A panel that opens beside it takes its room from both sides: what was in the middle stays there.
  const before = useRef(0);
  useEffect(() => {
    const by = paneW - before.current;
    if (before.current > 0 && shownOnce.current && Math.abs(by) > 100) {
      const { x, y, zoom } = flow.getViewport();
      void flow.setViewport({ x: x + by / 2, y, zoom });
    }
    before.current = paneW;
  }, [flow, paneW]);

  const goTo = useCallback(
    (id: string, focus = true) => {
      const b = boxes.get(id);
      if (!b) return;
      const zoom = Math.max(0.75, flow.getZoom());
      void flow.setCenter(b.x + b.w / 2, b.y + Math.min(b.h / 2, 120 / zoom), { zoom });
      if (!focus) return;
      // It is drawn only once it is in view.
      let tries = 0;
      const look = () => {
        const el = document.getElementById(`wf-${id}`);
        if (el && box.current?.contains(el)) el.focus({ preventScroll: true });
        else if (++tries < 20) requestAnimationFrame(look);
      };
      look();
    },
    [boxes, flow],
  );

  const fold = useCallback((id: string) => {
    setFolded((old) => {
      const next = new Set(old);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  }, []);

  const shown = useMemo<Shown>(() => {
    const order = reading(placed).map((b) => b.id);
    return {
      graph,
      states,
      problems,
      changes,
      rounds,
      folded,
      selected,
      onPick: (id) => onSelect?.(selected === id ? null : id),
      onFold: fold,
      onRound: (id, at) => onRound?.(id, at),
      onKey: (id, e) => {
        if (onKey?.(id, e)) {
          e.preventDefault();
          return;
        }
        const at = order.indexOf(id);
        const moves: Record<string, string | undefined> = { ArrowDown: order[at + 1], ArrowRight: order[at + 1], ArrowUp: order[at - 1], ArrowLeft: order[at - 1], Home: order[0], End: order.at(-1) };
        if (e.key in moves && !e.altKey && !e.ctrlKey && !e.metaKey) {
          e.preventDefault();
          const to = moves[e.key];
          if (to) goTo(to);
        } else if (e.key === 'Escape' && selected) onSelect?.(null);
      },
    };
  }, [graph, states, problems, changes, rounds, folded, selected, onSelect, onRound, onKey, fold, goTo, placed]);

  const tasks = useMemo(() => [...graph.nodes.values()].filter((n) => n.name), [graph]);
  const containers = useMemo(() => [...graph.nodes.values()].filter((n) => n.parent === null && n.lists.length > 0).map((n) => n.id), [graph]);
  const colour = useCallback(
    (n: { id: string }) => {
      const state = states?.get(n.id);
      const change = changes?.get(n.id);
      if (state) return `var(--p-${toneOf(state.status)})`;
      if (change) return `var(--p-${changeTone[change]})`;
      if (problems?.has(n.id)) return 'var(--p-bad)';
      return boxes.get(n.id)?.open ? 'var(--p-sunken)' : 'var(--p-border-strong)';
    },
    [states, changes, problems, boxes],
  );
  return (
    <div className="wf" ref={box} style={{ height }} role="group" aria-label={label}>
      <div className="wf-tools">
        <Select
          aria-label={t('canvas.find')}
          placeholder={t('canvas.find')}
          showSearch
          size="small"
          className="wf-find"
          value={null}
          optionFilterProp="label"
          popupMatchSelectWidth={280}
          options={tasks.map((n) => ({ value: n.id, label: n.text ? `${n.name} · ${n.text}` : n.name }))}
          onSelect={(id: string | null) => {
            if (!id) return;
            const missing = hiddenBy(graph, folded, id);
            if (missing.length > 0) setFolded((old) => new Set([...old].filter((f) => !missing.includes(f))));
            // Once what hid it has been drawn open.
            setTimeout(() => document.dispatchEvent(new CustomEvent('wf-goto', { detail: id })), 0);
          }}
        />
        <span className="wf-buttons">
          <button type="button" className="icon-btn" aria-label={t('canvas.zoomIn')} title={t('canvas.zoomIn')} onClick={() => void flow.zoomIn()}>
            <Icon of={Plus} />
          </button>
          <button type="button" className="icon-btn" aria-label={t('canvas.zoomOut')} title={t('canvas.zoomOut')} onClick={() => void flow.zoomOut()}>
            <Icon of={Minus} />
          </button>
          <button type="button" className="icon-btn" aria-label={t('canvas.whole')} title={t('canvas.whole')} onClick={() => whole(false)}>
            <Icon of={Maximize} />
          </button>
          {containers.length > 0 && (
            <button type="button" className="icon-btn" aria-label={t(folded.size > 0 ? 'canvas.unfoldAll' : 'canvas.foldAll')} title={t(folded.size > 0 ? 'canvas.unfoldAll' : 'canvas.foldAll')} onClick={() => setFolded(folded.size > 0 ? NONE : new Set(containers))}>
              <Icon of={folded.size > 0 ? UnfoldVertical : FoldVertical} />
            </button>
          )}
          {tools}
        </span>
      </div>
      <GoTo go={goTo} />
      <ShownContext.Provider value={shown}>
        <ReactFlow
          nodes={nodes}
          edges={[]}
          nodeTypes={nodeTypes}
          onlyRenderVisibleElements
          nodesDraggable={false}
          nodesConnectable={false}
          nodesFocusable={false}
          elementsSelectable={false}
          disableKeyboardA11y
          panOnScroll
          zoomOnDoubleClick={false}
          minZoom={ZOOM.min}
          maxZoom={ZOOM.max}
          onPaneClick={() => onSelect?.(null)}
        >
          <Ways placed={placed} states={states} />
          <Background variant={BackgroundVariant.Dots} gap={20} size={1} color="var(--p-border-strong)" />
          {placed.boxes.length > 25 && paneW > 700 && placed.h < placed.w * 12 && <MiniMap className="wf-map only-wide" pannable zoomable nodeColor={colour} nodeStrokeWidth={0} maskColor="color-mix(in srgb, var(--p-bg) 72%, transparent)" ariaLabel={t('canvas.map')} />}
        </ReactFlow>
      </ShownContext.Provider>
      {over}
    </div>
  );
}

/** Goes to what was looked for, after the drawing has unfolded it. */
function GoTo({ go }: { go: (id: string) => void }) {
  useEffect(() => {
    const f = (e: Event) => go((e as CustomEvent<string>).detail);
    document.addEventListener('wf-goto', f);
    return () => document.removeEventListener('wf-goto', f);
  }, [go]);
  return null;
}

const startOf = (l: Layout) => {
  const b = l.boxes[0];
  return b ? b.x + b.w / 2 : 0;
};

/** Which folded containers a task is within. */
function hiddenBy(graph: Graph, folded: ReadonlySet<string>, id: string): string[] {
  const out: string[] = [];
  for (let n = graph.nodes.get(id); n?.parent; n = graph.nodes.get(n.parent)) if (folded.has(n.parent)) out.push(n.parent);
  return out;
}

/** All ways in one picture: they are many and never change by themselves. Those out of view are left out. */
const Ways = memo(function Ways({ placed, states }: { placed: Layout; states: ReadonlyMap<string, NodeState> | null }) {
  const { t } = useI18n();
  // In steps of a screen, so that moving a little draws nothing anew.
  const window = useStore((s) => {
    const [x, y, zoom] = s.transform;
    const stepY = Math.max(1, s.height / zoom);
    return `${Math.floor(-y / zoom / stepY)}:${Math.ceil(stepY)}:${Math.floor(-x / zoom / Math.max(1, s.width / zoom))}`;
  });
  const [row = 0, tall = 1000] = window.split(':').map(Number);
  const from = (row - 1) * tall;
  const to = (row + 3) * tall;
  const seen = placed.ways.filter((w) => w.points.some((p, i) => {
    const q = w.points[i + 1] ?? p;
    return Math.max(p.y, q.y) >= from && Math.min(p.y, q.y) <= to;
  }));
  return (
    <ViewportPortal>
      <svg className="wf-ways" width={1} height={1} aria-hidden="true">
        <defs>
          <marker id="wf-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0.5L7.5 4L0 7.5Z" />
          </marker>
        </defs>
        {seen.map(({ edge, points, label }) => {
          const went = states?.has(edge.from) && states.has(edge.to);
          const text = edge.labels.map((l) => l || t('canvas.otherwise')).join(', ');
          return (
            <g key={edge.id} className={`wf-way ${edge.kind} ${went ? 'went' : ''}`}>
              <path d={pathOf(points)} markerEnd="url(#wf-arrow)" />
              {text && (
                <text x={label.x} y={label.y} textAnchor="middle">
                  <title>{text}</title>
                  {text.length > 24 ? `${text.slice(0, 23)}…` : text}
                </text>
              )}
            </g>
          );
        })}
      </svg>
    </ViewportPortal>
  );
});

export { KIND_ICONS };
