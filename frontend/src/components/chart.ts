/** What a chart draws, computed: scales and points, apart from how they look. */

export interface ChartRow {
  /** A time in milliseconds or a number where the axis has a scale, else a word. */
  x: number | string;
  values: (number | null)[];
}

/** Round steps from zero (or below it) to something at or above the largest value: at most five of them. */
export function ticks(low: number, high: number): number[] {
  const from = Math.min(0, low);
  const span = Math.max(high, 0) - from;
  if (!(span > 0) || !Number.isFinite(span)) return [0, 1];
  const raw = span / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 2.5, 5, 10].find((f) => f * power >= raw * 0.999) ?? 10) * power;
  const first = Math.floor(from / step);
  const last = Math.ceil(Math.max(high, 0) / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Where each row stands between 0 and 1: by its number, or one beside the other. */
export function positions(rows: ChartRow[], scaled: boolean): number[] {
  if (scaled) {
    const xs = rows.map((r) => Number(r.x));
    const low = Math.min(...xs);
    const span = Math.max(...xs) - low;
    return xs.map((x) => (span > 0 ? (x - low) / span : 0.5));
  }
  return rows.map((_, i) => (i + 0.5) / rows.length);
}

/** Pieces of a line: a value that is missing leaves a gap. */
export function pieces(at: number[], values: (number | null)[], y: (v: number) => number): [number, number][][] {
  const out: [number, number][][] = [];
  let piece: [number, number][] = [];
  values.forEach((v, i) => {
    if (v === null || !Number.isFinite(v)) {
      if (piece.length > 0) out.push(piece);
      piece = [];
    } else {
      piece.push([at[i] ?? 0, y(v)]);
    }
  });
  if (piece.length > 0) out.push(piece);
  return out;
}

/** More points than a screen has columns are drawn by their largest values: a peak is never lost. */
export function thin(rows: ChartRow[], limit = 600): ChartRow[] {
  if (rows.length <= limit) return rows;
  const size = Math.ceil(rows.length / limit);
  const out: ChartRow[] = [];
  for (let i = 0; i < rows.length; i += size) {
    const group = rows.slice(i, i + size);
    const width = Math.max(...group.map((r) => r.values.length));
    out.push({
      x: group[group.length - 1]?.x ?? 0,
      values: Array.from({ length: width }, (_, s) => {
        const known = group.map((r) => r.values[s]).filter((v): v is number => typeof v === 'number');
        return known.length > 0 ? Math.max(...known) : null;
      }),
    });
  }
  return out;
}
