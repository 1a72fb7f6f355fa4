/**
 * Where everything stands. The language nests, so the drawing does: each list is laid out by itself, in layers from top to bottom,
 * and is a box for what contains it. The same definition always gives the same drawing.
 */
import type { GEdge, GList, GNode, Graph } from './graph';

export interface Box {
  id: string;
  x: number;
  y: number;
  w: number;
  h: number;
  depth: number;
  /** It has something within that shows. */
  open: boolean;
  /** It has something within. */
  container: boolean;
}

export interface Point {
  x: number;
  y: number;
}

export interface Way {
  edge: GEdge;
  points: Point[];
  /** Where its label stands. */
  label: Point;
}

export interface Layout {
  boxes: Box[];
  ways: Way[];
  w: number;
  h: number;
}

export const SIZE = { w: 208, h: 48, markW: 26, markH: 26, head: 44, pad: 14, gapX: 24, gapY: 34, labelled: 46, lane: 12, row: 980 };

/** Most points that long ways may have within a list; a longer way goes along the side. */
const MAX_BENDS = 20_000;

interface Placed {
  w: number;
  h: number;
  /** Relative to the upper left corner. */
  boxes: Box[];
  ways: Way[];
}

const isMark = (n: GNode) => n.kind === 'start' || n.kind === 'end' || n.kind === 'exit';

export function layout(graph: Graph, folded: ReadonlySet<string> = new Set()): Layout {
  const from = new Map<string, GEdge[]>();
  for (const e of graph.edges) {
    const known = from.get(e.from);
    if (known) known.push(e);
    else from.set(e.from, [e]);
  }
  const boxes: Box[] = [];
  const ways: Way[] = [];
  let y = 0;
  let w = 0;
  for (const root of graph.roots) {
    const p = list(root, 0);
    const dx = 0;
    boxes.push(...p.boxes.map((b) => ({ ...b, x: b.x + dx, y: b.y + y })));
    ways.push(...p.ways.map((x) => moved(x, dx, y)));
    y += p.h + SIZE.gapY;
    w = Math.max(w, p.w);
  }
  return { boxes, ways, w, h: Math.max(0, y - SIZE.gapY) };

  function node(n: GNode, depth: number): Placed {
    if (isMark(n)) return { w: SIZE.markW, h: SIZE.markH, boxes: [{ id: n.id, x: 0, y: 0, w: SIZE.markW, h: SIZE.markH, depth, open: false, container: false }], ways: [] };
    const handler = n.kind === 'try' ? graph.nodes.get(`${n.id}/catch`) : undefined;
    const container = n.lists.some((l) => l.nodes.length > 0) || n.lists.length > 0;
    if (!container || folded.has(n.id)) {
      return { w: SIZE.w, h: SIZE.h, boxes: [{ id: n.id, x: 0, y: 0, w: SIZE.w, h: SIZE.h, depth, open: false, container }], ways: [] };
    }
    const own: Box = { id: n.id, x: 0, y: 0, w: 0, h: 0, depth, open: true, container: true };
    const out: Placed = { w: SIZE.w, h: SIZE.head, boxes: [own], ways: [] };
    let x = SIZE.pad;
    for (const l of n.lists) {
      const p = list(l, depth + 1);
      add(out, p, x, SIZE.head);
      out.h = Math.max(out.h, SIZE.head + p.h + SIZE.pad);
      x += p.w + SIZE.pad;
    }
    if (handler) {
      const p = node(handler, depth + 1);
      const at = x + SIZE.gapX;
      add(out, p, at, SIZE.head);
      out.h = Math.max(out.h, SIZE.head + p.h + SIZE.pad);
      const edge = from.get(n.id)?.find((e) => e.to === handler.id);
      const line = SIZE.head + Math.min(24, p.h / 2);
      if (edge) out.ways.push({ edge, points: [{ x: x - SIZE.pad / 2, y: line }, { x: at, y: line }], label: { x: x + SIZE.gapX / 2, y: line - 8 } });
      x = at + p.w + SIZE.pad;
    }
    out.w = Math.max(SIZE.w, x);
    // What is narrower than its head stands in the middle.
    const spare = (out.w - x) / 2;
    if (spare > 0) {
      for (const b of out.boxes) if (b !== own) b.x += spare;
      out.ways = out.ways.map((v) => moved(v, spare, 0));
    }
    own.w = out.w;
    own.h = out.h;
    return out;
  }

  function list(l: GList, depth: number): Placed {
    const nodes = l.nodes.flatMap((id) => graph.nodes.get(id) ?? []);
    const parts = nodes.map((n) => node(n, depth));
    if (nodes.length === 0) return { w: SIZE.w - 2 * SIZE.pad, h: 20, boxes: [], ways: [] };
    if (l.order === 'parallel') return rows(parts);
    return layers(nodes, parts);
  }

  /** Branches beside each other, in rows that a screen can hold. */
  function rows(parts: Placed[]): Placed {
    const out: Placed = { w: 0, h: 0, boxes: [], ways: [] };
    let x = 0;
    let y = 0;
    let tall = 0;
    for (const p of parts) {
      if (x > 0 && x + p.w > SIZE.row) {
        x = 0;
        y += tall + SIZE.pad;
        tall = 0;
      }
      add(out, p, x, y);
      x += p.w + SIZE.pad;
      tall = Math.max(tall, p.h);
      out.w = Math.max(out.w, x - SIZE.pad);
    }
    out.h = y + tall;
    return out;
  }

  function layers(nodes: GNode[], parts: Placed[]): Placed {
    const index = new Map(nodes.map((n, i) => [n.id, i]));
    interface Link { edge: GEdge; from: number; to: number }
    const forward: Link[] = [];
    const side: Link[] = [];
    for (const [i, n] of nodes.entries()) {
      for (const edge of from.get(n.id) ?? []) {
        const to = index.get(edge.to);
        if (to === undefined) continue;
        (to > i ? forward : side).push({ edge, from: i, to });
      }
    }
    // Every way forward leads to a later task, so one pass in their order finds the layers.
    const level: number[] = new Array<number>(nodes.length).fill(-1);
    const incoming = new Map<number, Link[]>();
    for (const f of forward) incoming.set(f.to, [...(incoming.get(f.to) ?? []), f]);
    for (let i = 0; i < nodes.length; i += 1) {
      const before = (incoming.get(i) ?? []).map((f) => (level[f.from] ?? 0) + 1);
      // What nothing leads to still stands behind the one before it.
      level[i] = before.length > 0 ? Math.max(...before) : i === 0 ? 0 : (level[i - 1] ?? 0) + 1;
    }

    interface Slot { node: number; w: number; x: number; up: Slot[]; down: Slot[]; order: number }
    const count = Math.max(...level) + 1;
    const rowsOf: Slot[][] = Array.from({ length: count }, () => []);
    const slots = nodes.map((_, i) => {
      const slot: Slot = { node: i, w: parts[i]?.w ?? 0, x: 0, up: [], down: [], order: 0 };
      rowsOf[level[i] ?? 0]?.push(slot);
      return slot;
    });
    const chains = new Map<GEdge, Slot[]>();
    let bends = 0;
    for (const f of forward) {
      const [a, b] = [slots[f.from], slots[f.to]];
      if (!a || !b) continue;
      const span = (level[f.to] ?? 0) - (level[f.from] ?? 0) - 1;
      if (bends + span > MAX_BENDS) {
        side.push(f);
        continue;
      }
      bends += span;
      const chain = [a];
      for (let k = 1; k <= span; k += 1) {
        const bend: Slot = { node: -1, w: 14, x: 0, up: [], down: [], order: 0 };
        rowsOf[(level[f.from] ?? 0) + k]?.push(bend);
        chain.push(bend);
      }
      chain.push(b);
      for (let k = 0; k + 1 < chain.length; k += 1) {
        const [p, q] = [chain[k], chain[k + 1]];
        if (!p || !q) continue;
        p.down.push(q);
        q.up.push(p);
      }
      chains.set(f.edge, chain);
    }
    order(rowsOf);
    for (const row of rowsOf) spread(row, row.map((_, i) => i * (SIZE.w + SIZE.gapX)));
    for (let sweep = 0; sweep < 3; sweep += 1) {
      for (const row of rowsOf.slice(1)) spread(row, row.map((s) => mean(s.up, s.x)));
      for (const row of rowsOf.slice(0, -1).reverse()) spread(row, row.map((s) => mean(s.down, s.x)));
    }

    const left = Math.min(...rowsOf.flat().map((s) => s.x - s.w / 2));
    const out: Placed = { w: 0, h: 0, boxes: [], ways: [] };
    const top: number[] = [];
    const bottom: number[] = [];
    let y = 0;
    rowsOf.forEach((row, k) => {
      const tall = Math.max(0, ...row.map((s) => (s.node < 0 ? 0 : (parts[s.node]?.h ?? 0))));
      top.push(y);
      bottom.push(y + tall);
      for (const s of row) {
        const p = s.node < 0 ? undefined : parts[s.node];
        if (p) add(out, p, s.x - left - s.w / 2, y);
        out.w = Math.max(out.w, s.x - left + s.w / 2);
      }
      out.h = y + tall;
      const says = row.some((s) => s.node >= 0 && (from.get(nodes[s.node]?.id ?? '') ?? []).some((e) => e.labels.length > 0));
      y += tall + (k + 1 < count ? (says ? SIZE.labelled : SIZE.gapY) : 0);
    });
    const middle = (s: Slot) => s.x - left;
    for (const { edge } of forward) {
      const chain = chains.get(edge);
      const first = chain?.[0];
      const last = chain?.at(-1);
      if (!chain || !first || !last) continue;
      const ports = [...first.down].sort((a, b) => a.x - b.x);
      const second = chain[1] ?? last;
      const own = nodes[first.node]?.kind === 'switch' && ports.length > 1 ? ((ports.indexOf(second) + 1) / (ports.length + 1) - 0.5) * first.w : 0;
      const l0 = level[first.node] ?? 0;
      const h0 = (top[l0] ?? 0) + (parts[first.node]?.h ?? 0);
      const points: Point[] = [{ x: middle(first) + own, y: h0 }];
      chain.slice(1).forEach((s, k) => {
        const layer = l0 + k + 1;
        const before = bottom[layer - 1] ?? 0;
        const at = points.at(-1);
        // The turn is between the layers, so that no way crosses a task.
        const turn = before + Math.min(16, ((top[layer] ?? 0) - before) / 2);
        if (at && at.x !== middle(s)) points.push({ x: at.x, y: turn }, { x: middle(s), y: turn });
        points.push({ x: middle(s), y: top[layer] ?? 0 });
        if (s.node < 0) points.push({ x: middle(s), y: bottom[layer] ?? 0 });
      });
      out.ways.push({ edge, points: straight(points), label: { x: middle(second), y: (bottom[l0] ?? 0) + 31 } });
    }
    side.forEach(({ edge, from: a, to: b }, k) => {
      const [p, q] = [slots[a], slots[b]];
      if (!p || !q) return;
      const lane = out.w + SIZE.lane;
      const ya = (top[level[a] ?? 0] ?? 0) + Math.min(24, (parts[a]?.h ?? 0) / 2) + (k % 3) * 4;
      const yb = (top[level[b] ?? 0] ?? 0) + Math.min(24, (parts[b]?.h ?? 0) / 2) - (k % 3) * 4;
      out.ways.push({
        edge,
        points: [{ x: middle(p) + p.w / 2, y: ya }, { x: lane, y: ya }, { x: lane, y: yb }, { x: middle(q) + q.w / 2, y: yb }],
        label: { x: lane - 4, y: (ya + yb) / 2 },
      });
      out.w = lane;
    });
    return out;
  }

  /** Fewer crossings: each layer in the order of its neighbours' middles. */
  function order(rowsOf: { order: number; up: { order: number }[]; down: { order: number }[] }[][]) {
    for (const row of rowsOf) row.forEach((s, i) => (s.order = i));
    // A layer of one needs no order; most lists have no other.
    if (rowsOf.every((r) => r.length < 2)) return;
    const by = (s: { order: number }[], own: number) => (s.length === 0 ? own : s.reduce((n, x) => n + x.order, 0) / s.length);
    for (let sweep = 0; sweep < 4; sweep += 1) {
      const down = sweep % 2 === 0;
      for (const row of down ? rowsOf.slice(1) : rowsOf.slice(0, -1).reverse()) {
        const keys = new Map(row.map((s) => [s, by(down ? s.up : s.down, s.order)]));
        row.sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0) || a.order - b.order);
        row.forEach((s, i) => (s.order = i));
      }
    }
  }
}

const mean = (s: { x: number }[], own: number) => (s.length === 0 ? own : s.reduce((n, x) => n + x.x, 0) / s.length);

/** As near to where each wants to be as the others' widths allow, in their order: isotonic regression over the gaps. */
export function spread(row: { x: number; w: number }[], wanted: number[]) {
  const offsets: number[] = [];
  let sum = 0;
  row.forEach((s, i) => {
    const before = row[i - 1];
    if (before) sum += (before.w + s.w) / 2 + SIZE.gapX;
    offsets.push(sum);
  });
  const blocks: { total: number; n: number; at: number }[] = [];
  row.forEach((_, i) => {
    blocks.push({ total: (wanted[i] ?? 0) - (offsets[i] ?? 0), n: 1, at: i });
    for (;;) {
      const [a, b] = [blocks.at(-2), blocks.at(-1)];
      if (!a || !b || a.total / a.n <= b.total / b.n) break;
      blocks.pop();
      a.total += b.total;
      a.n += b.n;
    }
  });
  for (const b of blocks) {
    for (let i = b.at; i < b.at + b.n; i += 1) {
      const slot = row[i];
      if (slot) slot.x = b.total / b.n + (offsets[i] ?? 0);
    }
  }
}

function add(out: Placed, p: Placed, x: number, y: number) {
  for (const b of p.boxes) out.boxes.push({ ...b, x: b.x + x, y: b.y + y });
  for (const w of p.ways) out.ways.push(moved(w, x, y));
}

function moved(w: Way, x: number, y: number): Way {
  return { edge: w.edge, points: w.points.map((p) => ({ x: p.x + x, y: p.y + y })), label: { x: w.label.x + x, y: w.label.y + y } };
}

/** Without points in the middle of a straight line. */
function straight(points: Point[]): Point[] {
  return points.filter((p, i) => {
    const [a, b] = [points[i - 1], points[i + 1]];
    if (!a || !b) return true;
    return !((a.x === p.x && p.x === b.x) || (a.y === p.y && p.y === b.y));
  });
}

/** The way as an SVG path with rounded turns. */
export function pathOf(points: Point[], radius = 7): string {
  const [first] = points;
  if (!first) return '';
  let d = `M${r(first.x)} ${r(first.y)}`;
  points.slice(1).forEach((p, k) => {
    const before = points[k];
    const after = points[k + 2];
    if (!before) return;
    if (!after) {
      d += `L${r(p.x)} ${r(p.y)}`;
      return;
    }
    const cut = Math.min(radius, dist(before, p) / 2, dist(p, after) / 2);
    const [a, b] = [toward(p, before, cut), toward(p, after, cut)];
    d += `L${r(a.x)} ${r(a.y)}Q${r(p.x)} ${r(p.y)} ${r(b.x)} ${r(b.y)}`;
  });
  return d;
}

const r = (n: number) => Math.round(n * 10) / 10;
const dist = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);
function toward(a: Point, b: Point, by: number): Point {
  const d = dist(a, b) || 1;
  return { x: a.x + ((b.x - a.x) / d) * by, y: a.y + ((b.y - a.y) / d) * by };
}
