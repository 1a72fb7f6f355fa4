import { isMap, isSeq, parseDocument, type Node, type Pair } from 'yaml';

/** The line (from 1) where a JSON pointer's target stands in a YAML or JSON text; the nearest ancestor when it is missing. */
export function lineOf(source: string, pointer: string): number | null {
  const doc = parseDocument(source, { keepSourceTokens: false });
  const parts = pointer
    .split('/')
    .slice(1)
    .map((p) => p.replace(/~1/g, '/').replace(/~0/g, '~'));
  let node: Node | null = doc.contents;
  let at = node?.range?.[0] ?? 0;
  for (const part of parts) {
    if (isMap(node)) {
      const pair = node.items.find((p) => String((p.key as { value?: unknown })?.value ?? p.key) === part) as Pair<Node, Node | null> | undefined;
      if (!pair) break;
      at = pair.key.range?.[0] ?? at;
      node = pair.value ?? null;
    } else if (isSeq(node)) {
      const item = node.items[Number(part)] as Node | undefined;
      if (!item) break;
      at = item.range?.[0] ?? at;
      node = item;
    } else break;
  }
  return source.slice(0, at).split('\n').length;
}
