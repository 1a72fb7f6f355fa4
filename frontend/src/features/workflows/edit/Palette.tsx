/** What a workflow can be made of: the language's building blocks, the platform's functions, the plugins' actions. */
import { Input, Modal, Select } from 'antd';
import { Zap } from 'lucide-react';
import { useMemo, useState } from 'react';
import type { ActionInfo, Json } from '../../../api/types';
import { Icon } from '../../../components/base';
import { useI18n, type Text } from '../../../i18n';
import type { Graph } from '../canvas/graph';
import { KIND_ICONS } from '../canvas/NodeView';
import { BLOCK_KINDS, BLOCKS, callOf } from './blocks';
import { placeOf } from './edits';

export interface Spot {
  list: string;
  index: number;
}

/** Where a new task can go, seen from the one that is chosen: behind it, before it, into it; else at the end. */
export function spotsOf(graph: Graph, selected: string | null): { key: string; how: 'after' | 'before' | 'into' | 'end'; list: string; spot: Spot }[] {
  const out: { key: string; how: 'after' | 'before' | 'into' | 'end'; list: string; spot: Spot }[] = [];
  const node = selected === null ? undefined : graph.nodes.get(selected);
  const place = selected === null ? null : placeOf(selected);
  if (node && place && !selected?.includes('#')) {
    out.push({ key: 'after', how: 'after', list: place.list, spot: { list: place.list, index: place.index + 1 } });
    out.push({ key: 'before', how: 'before', list: place.list, spot: { list: place.list, index: place.index } });
  }
  const handler = node?.kind === 'try' ? graph.nodes.get(`${node.id}/catch`) : undefined;
  const lists = [...(node?.lists ?? []), ...(node?.kind === 'catch' && node.lists.length === 0 ? [{ pointer: `${node.id}/do`, order: 'sequence' as const, nodes: [] }] : []), ...(handler ? [handler.lists[0] ?? { pointer: `${handler.id}/do`, order: 'sequence' as const, nodes: [] }] : [])];
  for (const l of lists) {
    if (node?.kind === 'function') continue;
    const tasks = l.nodes.filter((id) => !id.includes('#')).length;
    out.push({ key: `into ${l.pointer}`, how: 'into', list: l.pointer.slice((selected ?? '').length), spot: { list: l.pointer, index: tasks } });
  }
  const main = graph.roots[0];
  if (main) out.push({ key: 'end', how: 'end', list: main.pointer, spot: { list: main.pointer, index: main.nodes.filter((id) => !id.includes('#')).length } });
  return out;
}

export function Palette({ graph, selected, actions, onAdd, onClose }: { graph: Graph; selected: string | null; actions: readonly ActionInfo[]; onAdd: (spot: Spot, name: string, body: Json) => void; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [search, setSearch] = useState('');
  const spots = useMemo(() => spotsOf(graph, selected), [graph, selected]);
  const [where, setWhere] = useState(spots[0]?.key ?? 'end');
  const spot = spots.find((s) => s.key === where) ?? spots[0];
  const name = selected === null ? '' : (graph.nodes.get(selected)?.name ?? '');
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (...texts: string[]) => words.every((w) => texts.some((x) => x.toLowerCase().includes(w)));
  const blocks = BLOCK_KINDS.filter((k) => fits(k, t(`canvas.kind.${k}`)));
  const found = actions.filter((a) => fits(a.name, tl(a.title as Text), tl(a.description as Text)));
  const own = found.filter((a) => /^(cmdb|job|event|http|openapi|approval|lock|unlock|rate|workflow|notify)(\.|$)/.test(a.name));
  const plugins = found.filter((a) => !own.includes(a));
  const add = (wanted: string, body: Json) => {
    if (spot) onAdd(spot.spot, wanted, body);
    onClose();
  };
  const group = (title: string, items: readonly ActionInfo[]) =>
    items.length > 0 && (
      <>
        <h3 className="sub-title">{title}</h3>
        <ul className="wf-palette">
          {items.map((a) => (
            <li key={a.name}>
              <button type="button" onClick={() => add(a.name.replace(/\./g, '-'), callOf(a))}>
                <Icon of={Zap} />
                <span>
                  <strong>{tl(a.title as Text) || a.name}</strong> <code className="faint">{a.name}</code>
                  <small>{tl(a.description as Text)}</small>
                </span>
              </button>
            </li>
          ))}
        </ul>
      </>
    );
  return (
    <Modal open onCancel={onClose} footer={null} width={720} title={t('edit.add')}>
      <div className="stack">
        <div className="row wrap">
          <Input autoFocus allowClear aria-label={t('edit.searchBlocks')} placeholder={t('edit.searchBlocks')} style={{ flex: '1 1 220px' }} value={search} onChange={(e) => setSearch(e.target.value)} />
          <Select
            aria-label={t('edit.where')}
            style={{ flex: '1 1 220px', minWidth: 0 }}
            value={spot?.key}
            onChange={setWhere}
            options={spots.map((s) => ({ value: s.key, label: s.how === 'end' ? t('edit.atEnd') : s.how === 'into' ? t('edit.into', { name: `${name}${s.list}` }) : t(`edit.${s.how}`, { name }) }))}
          />
        </div>
        <div style={{ maxHeight: '56vh', overflow: 'auto' }} className="stack tight">
          {blocks.length > 0 && (
            <>
              <h3 className="sub-title">{t('edit.blocks')}</h3>
              <ul className="wf-palette">
                {blocks.map((k) => (
                  <li key={k}>
                    <button type="button" onClick={() => add(k, BLOCKS[k])}>
                      <Icon of={KIND_ICONS[k]} />
                      <span>
                        <strong>{t(`canvas.kind.${k}`)}</strong> <code className="faint">{k}</code>
                        <small>{t(`edit.block.${k}`)}</small>
                      </span>
                    </button>
                  </li>
                ))}
              </ul>
            </>
          )}
          {group(t('edit.platform'), own)}
          {group(t('edit.plugins'), plugins)}
          {blocks.length + found.length === 0 && <p className="dim">{t('list.noMatch')}</p>}
        </div>
      </div>
    </Modal>
  );
}
