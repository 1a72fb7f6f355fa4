/** A line of a comparison: in both, only left, only right. `gap` stands for lines that are the same and not shown. */
export type DiffLine = { kind: 'same' | 'left' | 'right'; text: string } | { kind: 'gap'; count: number };

const CONTEXT = 3;
// The table of a comparison has left × right cells; beyond this the middle is shown as replaced, which is true though not the shortest.
const MOST_CELLS = 4_000_000;

/** Line by line what differs between two texts, with a few lines around each difference. */
export function diffLines(left: string, right: string): DiffLine[] {
  const a = left.split('\n');
  const b = right.split('\n');
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const all: { kind: 'same' | 'left' | 'right'; text: string }[] = [];
  for (const text of a.slice(0, head)) all.push({ kind: 'same', text });
  all.push(...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)));
  for (const text of a.slice(a.length - tail)) if (tail > 0) all.push({ kind: 'same', text });
  return shorten(all);
}

function middle(a: string[], b: string[]): { kind: 'same' | 'left' | 'right'; text: string }[] {
  const replaced = () => [...a.map((text) => ({ kind: 'left' as const, text })), ...b.map((text) => ({ kind: 'right' as const, text }))];
  if (a.length === 0 || b.length === 0 || a.length * b.length > MOST_CELLS) return replaced();
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i * width + j] = a[i] === b[j] ? (longest[(i + 1) * width + j + 1] ?? 0) + 1 : Math.max(longest[(i + 1) * width + j] ?? 0, longest[i * width + j + 1] ?? 0);
  const out: { kind: 'same' | 'left' | 'right'; text: string }[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push({ kind: 'same', text: a[i] ?? '' });
      i++;
      j++;
    } else if ((longest[(i + 1) * width + j] ?? 0) >= (longest[i * width + j + 1] ?? 0)) out.push({ kind: 'left', text: a[i++] ?? '' });
    else out.push({ kind: 'right', text: b[j++] ?? '' });
  }
  while (i < a.length) out.push({ kind: 'left', text: a[i++] ?? '' });
  while (j < b.length) out.push({ kind: 'right', text: b[j++] ?? '' });
  return out;
}

function shorten(all: { kind: 'same' | 'left' | 'right'; text: string }[]): DiffLine[] {
  const near = new Uint8Array(all.length);
  all.forEach((l, i) => {
    if (l.kind !== 'same') near.fill(1, Math.max(0, i - CONTEXT), i + CONTEXT + 1);
  });
  const out: DiffLine[] = [];
  let hidden = 0;
  all.forEach((l, i) => {
    if (near[i]) {
      if (hidden > 0) out.push({ kind: 'gap', count: hidden });
      hidden = 0;
      out.push(l);
    } else hidden++;
  });
  if (hidden > 0) out.push({ kind: 'gap', count: hidden });
  return out;
}
