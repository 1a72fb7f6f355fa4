/** A run's time as a scale, and which rows of a long list are in view. */

/** Steps that people read easily, in milliseconds. */
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 21_600_000, 43_200_000, 86_400_000];

/** Marks along `span` milliseconds, at most `most`. */
export function marks(span: number, most: number): number[] {
  const step = STEPS.find((s) => span / s <= most) ?? Math.ceil(span / most / 86_400_000) * 86_400_000;
  const out: number[] = [];
  for (let at = 0; at <= span; at += step) out.push(at);
  return out;
}

/** The rows in view, with some to spare on both sides. */
export function inView(top: number, height: number, row: number, count: number, spare = 8): { from: number; to: number } {
  const from = Math.max(0, Math.floor(top / row) - spare);
  return { from: Math.min(from, count), to: Math.min(count, Math.ceil((top + height) / row) + spare) };
}

/** Where a bar stands, in parts of the whole. */
export function bar(start: number, end: number, from: number, to: number): { left: number; width: number } {
  const span = Math.max(1, to - from);
  const left = Math.min(1, Math.max(0, (start - from) / span));
  return { left, width: Math.max(0, Math.min(1, (end - from) / span) - left) };
}
