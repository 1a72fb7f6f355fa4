/** Where the records of a map stand: layers by distance, the nearest above; a layer that is too wide goes on in the next line. */
import type { Graph, GraphEdge, GraphNode } from '../../api/types';

export const NODE_HEIGHT = 40;
const NODE_WIDTH = 176;
const GAP_X = 12;
const GAP_Y = 14;
const LAYER_GAP = 44;
const TITLE = 18;

export interface Placed {
  node: GraphNode;
  x: number;
  y: number;
  /** The first association that led to it, and whether it is that association's source. */
  by?: { edge: GraphEdge; forward: boolean };
}

export interface Drawn {
  edge: GraphEdge;
  path: string;
}

export interface Layout {
  width: number;
  height: number;
  nodeWidth: number;
  nodes: Placed[];
  edges: Drawn[];
  layers: { depth: number; y: number; count: number }[];
}

export function layout(graph: Graph, width: number): Layout {
  const nodeWidth = Math.max(80, Math.min(NODE_WIDTH, Math.floor((width - GAP_X) / 2)));
  const columns = Math.max(1, Math.floor((width + GAP_X) / (nodeWidth + GAP_X)));
  const known = new Map(graph.nodes.map((n) => [n.id, n]));
  const edges = graph.edges.filter((e) => known.has(e.from[1]) && known.has(e.to[1]));
  const touching = new Map<string, GraphEdge[]>();
  for (const e of edges) for (const id of new Set([e.from[1], e.to[1]])) touching.set(id, [...(touching.get(id) ?? []), e]);

  const byDepth = new Map<number, GraphNode[]>();
  for (const n of graph.nodes) byDepth.set(n.depth, [...(byDepth.get(n.depth) ?? []), n]);
  const placed = new Map<string, Placed>();
  const order = new Map<string, number>();
  const layers: Layout['layers'] = [];
  let y = 0;
  for (const depth of [...byDepth.keys()].sort((a, b) => a - b)) {
    const ranked = (byDepth.get(depth) ?? []).map((node) => {
      // Those that led here: under them it belongs, so that lines cross less.
      const nearer = (touching.get(node.id) ?? []).flatMap((edge) => {
        const forward = edge.from[1] === node.id;
        const other = known.get(forward ? edge.to[1] : edge.from[1]);
        return other && other.depth < depth ? [{ edge, forward, at: order.get(other.id) ?? 0 }] : [];
      });
      return { node, rank: nearer.length ? nearer.reduce((sum, n) => sum + n.at, 0) / nearer.length : 0, first: nearer[0] };
    });
    ranked.sort((a, b) => a.rank - b.rank || a.node.model.localeCompare(b.node.model) || a.node.label.localeCompare(b.node.label));
    if (depth > 0) {
      layers.push({ depth, y: y + TITLE - 6, count: ranked.length });
      y += TITLE;
    }
    ranked.forEach(({ node, first }, i) => {
      const inLine = Math.min(columns, ranked.length - Math.floor(i / columns) * columns);
      const left = (width - (inLine * (nodeWidth + GAP_X) - GAP_X)) / 2;
      // Layers of any size run over the same places from left to right.
      order.set(node.id, (i + 0.5) / ranked.length);
      placed.set(node.id, {
        node,
        x: Math.max(0, left) + (i % columns) * (nodeWidth + GAP_X),
        y: y + Math.floor(i / columns) * (NODE_HEIGHT + GAP_Y),
        ...(first ? { by: { edge: first.edge, forward: first.forward } } : {}),
      });
    });
    y += Math.ceil(ranked.length / columns) * (NODE_HEIGHT + GAP_Y) - GAP_Y + LAYER_GAP;
  }
  const drawn = edges.flatMap((edge) => {
    const from = placed.get(edge.from[1]);
    const to = placed.get(edge.to[1]);
    return from && to ? [{ edge, path: curve(from, to, nodeWidth) }] : [];
  });
  return { width, height: Math.max(NODE_HEIGHT, y - LAYER_GAP), nodeWidth, nodes: [...placed.values()], edges: drawn, layers };
}

/** From edge to edge of the boxes, so that the arrow's head is seen. */
function curve(a: Placed, b: Placed, w: number): string {
  const mid = (p: Placed) => p.x + w / 2;
  if (a.y === b.y) {
    // Beside each other: around below.
    const bottom = a.y + NODE_HEIGHT;
    return `M${mid(a)} ${bottom}C${mid(a)} ${bottom + GAP_Y + 4} ${mid(b)} ${bottom + GAP_Y + 4} ${mid(b)} ${bottom}`;
  }
  const down = a.y < b.y;
  const y1 = down ? a.y + NODE_HEIGHT : a.y;
  const y2 = down ? b.y : b.y + NODE_HEIGHT;
  const bend = (y2 - y1) / 2;
  return `M${mid(a)} ${y1}C${mid(a)} ${y1 + bend} ${mid(b)} ${y2 - bend} ${mid(b)} ${y2}`;
}

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]/;

/** As much of a text as fits into so many half-widths, cut with a sign: a Chinese character takes two. */
export function fit(text: string, halves: number): string {
  const letters = [...text];
  let used = 0;
  let room = 0;
  for (const [i, c] of letters.entries()) {
    used += WIDE.test(c) ? 2 : 1;
    if (used > halves) return `${letters.slice(0, room).join('')}…`;
    // The sign takes one.
    if (used < halves) room = i + 1;
  }
  return text;
}
