/** Two versions of a workflow, compared: on the drawing, and line by line. */
import { Modal, Segmented, Select } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { api } from '../../api/endpoints';
import type { WorkflowDefinition } from '../../api/types';
import { Chip, Loading, Note, ProblemNote } from '../../components/base';
import { absoluteTime } from '../../components/format';
import { useI18n } from '../../i18n';
import Drawing from './canvas/Drawing';
import { compare, diffLines, folded } from './diff';

export default function Versions({ definition: d, onClose }: { definition: WorkflowDefinition; onClose: () => void }) {
  const { t, locale } = useI18n();
  const [view, setView] = useState<'drawing' | 'text'>('drawing');
  const [before, setBefore] = useState(Math.max(1, d.version - 1));
  const [after, setAfter] = useState(d.version);
  const list = useQuery({ queryKey: ['workflow-versions', d.name, 'list', d.version], queryFn: () => api.workflows.versions(d.name, { limit: 200 }) });
  const text = (version: number) => ({ queryKey: ['workflow-versions', d.name, version], queryFn: () => api.workflows.version(d.name, version), staleTime: Infinity });
  const old = useQuery(text(before));
  const now = useQuery(text(after));
  const options = list.data?.items.map((v) => ({ value: v.version, label: `${t('workflows.version', { n: v.version })} · ${absoluteTime(new Date(v.created_at), locale)}` }));
  const both = old.data && now.data ? { old: old.data.source, now: now.data.source } : null;
  return (
    <Modal open onCancel={onClose} footer={null} width={1100} title={t('versions.compare', { name: d.name })}>
      <div className="stack">
        <div className="row wrap">
          <Select aria-label={t('versions.before')} style={{ flex: '1 1 220px', minWidth: 0 }} value={before} options={options} onChange={setBefore} />
          <span aria-hidden="true">→</span>
          <Select aria-label={t('versions.after')} style={{ flex: '1 1 220px', minWidth: 0 }} value={after} options={options} onChange={setAfter} />
          <Segmented<'drawing' | 'text'>
            aria-label={t('canvas.view')}
            value={view}
            onChange={setView}
            options={[
              { value: 'drawing', label: t('canvas.title') },
              { value: 'text', label: t('canvas.text') },
            ]}
          />
        </div>
        <ProblemNote error={list.error ?? old.error ?? now.error} />
        {!both ? <Loading /> : both.old === both.now ? <Note tone="info" title={t('versions.same')} /> : view === 'text' ? <TextDiff before={both.old} after={both.now} /> : <DrawnDiff before={both.old} after={both.now} name={d.name} />}
      </div>
    </Modal>
  );
}

function DrawnDiff({ before, after, name }: { before: string; after: string; name: string }) {
  const { t } = useI18n();
  const { graph, changes, gone } = useMemo(() => compare(before, after), [before, after]);
  const count = (c: string) => [...changes.values()].filter((x) => x === c).length;
  return (
    <>
      <div className="row wrap">
        <Chip tone="ok">{t('versions.added', { n: count('added') })}</Chip>
        <Chip tone="warn">{t('versions.changed', { n: count('changed') })}</Chip>
        <Chip tone="bad">{t('versions.gone', { n: gone.length })}</Chip>
        {gone.slice(0, 20).map((g) => (
          <del key={g} className="dim">
            {g}
          </del>
        ))}
      </div>
      <Drawing graph={graph} label={t('canvas.of', { name })} changes={changes} height="min(56vh, 560px)" />
    </>
  );
}

function TextDiff({ before, after }: { before: string; after: string }) {
  const { t } = useI18n();
  const lines = useMemo(() => folded(diffLines(before, after)), [before, after]);
  return (
    <pre className="code wf-diff" tabIndex={0} aria-label={t('versions.text')}>
      {lines.map((l, i) =>
        l === null ? (
          <div key={i} className="gap">
            ⋯
          </div>
        ) : (
          <div key={i} className={l.kind}>
            <span className="no">{l.before ?? ''}</span>
            <span className="no">{l.after ?? ''}</span>
            {l.kind === 'gone' ? '-' : l.kind === 'come' ? '+' : ' '} {l.text}
          </div>
        ),
      )}
    </pre>
  );
}
