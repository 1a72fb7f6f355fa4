import { Select, Tabs } from 'antd';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import { api } from '../../api/endpoints';
import type { Graph, Walk } from '../../api/types';
import { Loading, Note, Panel, ProblemNote } from '../../components/base';
import { useI18n } from '../../i18n';
import { fit, layout, NODE_HEIGHT, type Placed } from './graphLayout';

const WALKS: Walk[] = ['around', 'impact', 'needs'];
const DEPTHS = [1, 2, 3, 4];
/** More boxes are no map. */
const LIMIT = 200;

/** What stands around a record, what falls with it, what it needs. */
export function MapPanel({ model, id }: { model: string; id: string }) {
  const { t } = useI18n();
  const [walk, setWalk] = useState<Walk>('around');
  const [depth, setDepth] = useState(2);
  const graph = useQuery({
    queryKey: ['cmdb', 'graph', model, id, walk, depth],
    queryFn: () => api.cmdb.graph(model, id, { walk, depth, limit: LIMIT }),
    placeholderData: keepPreviousData,
  });
  const content = (
    <>
      <p className="dim" style={{ marginBottom: 8 }}>
        {t(`map.${walk}.text`)}
      </p>
      {graph.error ? (
        <ProblemNote error={graph.error} retry={() => void graph.refetch()} />
      ) : !graph.data ? (
        <Loading />
      ) : (
        <div className="stack" aria-busy={graph.isPlaceholderData} style={graph.isPlaceholderData ? { opacity: 0.6 } : undefined}>
          {graph.data.truncated && <Note tone="warn" title={t('map.truncated', { n: graph.data.nodes.length })} />}
          {graph.data.nodes.length < 2 ? <p className="dim">{t(`map.${walk}.none`)}</p> : <Drawing graph={graph.data} />}
        </div>
      )}
    </>
  );
  return (
    <Panel
      title={t('map.title')}
      actions={
        <Select
          size="small"
          aria-label={t('map.depth')}
          value={depth}
          popupMatchSelectWidth={false}
          options={DEPTHS.map((n) => ({ value: n, label: n === 1 ? t('map.step') : t('map.steps', { n }) }))}
          onChange={setDepth}
        />
      }
    >
      <Tabs size="small" activeKey={walk} onChange={(k) => setWalk(k as Walk)} items={WALKS.map((w) => ({ key: w, label: t(`map.${w}`), children: w === walk ? content : null }))} />
    </Panel>
  );
}

function Drawing({ graph }: { graph: Graph }) {
  const { t, tl } = useI18n();
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(640);
  const [active, setActive] = useState('');
  const models = useQuery({ queryKey: ['cmdb', 'models'], queryFn: api.cmdb.models });
  const kinds = useQuery({ queryKey: ['cmdb', 'kinds'], queryFn: api.cmdb.kinds, staleTime: Infinity });
  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return;
    const measure = () => {
      if (el.clientWidth > 0) setWidth(el.clientWidth);
    };
    measure();
    const seen = new ResizeObserver(measure);
    seen.observe(el);
    return () => seen.disconnect();
  }, []);
  const drawn = useMemo(() => layout(graph, width - 2), [graph, width]);
  const modelTitle = (name: string) => tl(models.data?.items.find((m) => m.name === name)?.title) || name;
  const kindTitle = (name: string, way: 'forward' | 'backward') => tl(kinds.data?.items.find((k) => k.name === name)?.[way]) || name;
  const labels = new Map(graph.nodes.map((n) => [n.id, n.label]));
  // As the nearer record reads it, like the list of what is related.
  const under = (p: Placed) => [p.by ? kindTitle(p.by.edge.kind, p.by.forward ? 'backward' : 'forward') : '', modelTitle(p.node.model)].filter(Boolean).join(' · ');
  return (
    <div ref={box} className="map">
      {/* Two more, for the boxes' borders. */}
      <svg width={drawn.width + 2} height={drawn.height + 2} viewBox={`-1 -1 ${drawn.width + 2} ${drawn.height + 2}`} role="group" aria-label={t('map.title')}>
        <defs>
          <marker id="map-end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
            <path d="M0 0L8 4L0 8z" />
          </marker>
        </defs>
        {drawn.edges.map(({ edge, path }) => (
          <path key={edge.id} className={edge.from[1] === active || edge.to[1] === active ? 'edge on' : 'edge'} d={path} markerEnd="url(#map-end)">
            <title>{`${labels.get(edge.from[1]) ?? ''} ${kindTitle(edge.kind, 'forward')} ${labels.get(edge.to[1]) ?? ''}`}</title>
          </path>
        ))}
        {drawn.layers.map((l) => (
          <text key={l.depth} className="layer" x={0} y={l.y}>
            {l.depth === 1 ? t('map.layer1', { n: l.count }) : t('map.layer', { depth: l.depth, n: l.count })}
          </text>
        ))}
        {drawn.nodes.map((p) => {
          const inside = (
            <>
              <title>{`${p.node.label}, ${under(p)}`}</title>
              <rect width={drawn.nodeWidth} height={NODE_HEIGHT} rx={3} />
              <text x={8} y={17}>
                {fit(p.node.label, Math.floor((drawn.nodeWidth - 16) / 7))}
              </text>
              <text x={8} y={32} className="sub">
                {fit(under(p), Math.floor((drawn.nodeWidth - 16) / 5.8))}
              </text>
            </>
          );
          const at = `translate(${p.x} ${p.y})`;
          return p.node.depth === 0 ? (
            <g key={p.node.id} className="node here" transform={at}>
              {inside}
            </g>
          ) : (
            <g key={p.node.id} className="node" transform={at} onMouseEnter={() => setActive(p.node.id)} onMouseLeave={() => setActive('')} onFocus={() => setActive(p.node.id)} onBlur={() => setActive('')}>
              <Link to={`/cmdb/${p.node.model}/${p.node.id}`}>
                {inside}
              </Link>
            </g>
          );
        })}
      </svg>
    </div>
  );
}
