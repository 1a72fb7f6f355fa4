/** The drawing of a text: of a saved one, or of one that is being written, with what the host finds wrong at the task that it is in. */
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { api } from '../../../api/endpoints';
import { Note } from '../../../components/base';
import { useDebounced } from '../../../components/FilterInput';
import { useI18n } from '../../../i18n';
import Drawing from './Drawing';
import { graphOf, type Graph } from './graph';

/** Problems by the innermost task that each lies in. */
export function problemsByTask(graph: Graph, errors: { pointer: string; message: string }[]): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const e of errors) {
    let at = e.pointer;
    while (at !== '' && !graph.nodes.has(at)) at = at.slice(0, at.lastIndexOf('/'));
    if (at !== '') out.set(at, [...(out.get(at) ?? []), e.message]);
  }
  return out;
}

export default function SourceDrawing({ source, name, checked }: { source: string; name: string; checked?: boolean }) {
  const { t } = useI18n();
  const settled = useDebounced(source, 250);
  const [selected, setSelected] = useState<string | null>(null);
  const graph = useMemo(() => graphOf(settled), [settled]);
  const check = useQuery({ queryKey: ['workflows', 'validate', settled], queryFn: () => api.workflows.validate(settled), enabled: Boolean(checked) && settled.trim() !== '', retry: false, placeholderData: (o) => o });
  const problems = useMemo(() => (checked && check.data ? problemsByTask(graph, check.data.errors) : null), [graph, check.data, checked]);
  return (
    <>
      {graph.broken && <Note tone="warn" title={t('canvas.broken')}>{graph.broken}</Note>}
      <Drawing graph={graph} label={t('canvas.of', { name })} problems={problems} selected={selected} onSelect={setSelected} />
    </>
  );
}
