import { Button, Checkbox, Input, Segmented } from 'antd';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Download } from 'lucide-react';
import { useState } from 'react';
import { BASE } from '../../api/client';
import { api } from '../../api/endpoints';
import type { Execution, ResultGroup } from '../../api/types';
import { Clip, Icon, Loading, Note, Panel, ProblemNote, Status } from '../../components/base';
import { bytes } from '../../components/format';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { diffLines } from './diff';

const keyOf = (g: ResultGroup) => [g.status, g.exit_code, g.signal, g.code, g.output_hash].join('/');
/** Bytes of each side that are compared: one piece of output. */
const COMPARED = 256 * 1024;

/** Targets by how they ended and what they printed; two groups can be compared. */
export function Groups({ execution: e, onPick }: { execution: Execution; onPick: () => void }) {
  const { t } = useI18n();
  const [url, setUrl] = useUrl();
  const [chosen, setChosen] = useState<string[]>([]);
  const groups = useQuery({
    queryKey: ['jobs', 'groups', e.id],
    queryFn: () => api.jobs.groups(e.id),
    enabled: e.summary.total > 1,
    refetchInterval: e.status === 'running' ? 3000 : false,
  });
  if (e.summary.total < 2) return null;
  const items = groups.data?.items ?? [];
  const pick = (g: ResultGroup) => {
    onPick();
    setUrl({ status: g.status, output_hash: g.output_hash ?? undefined, exit_code: g.exit_code == null ? undefined : String(g.exit_code), code: g.code ?? undefined });
  };
  const two = chosen.map((k) => items.find((g) => keyOf(g) === k)).filter((g) => g !== undefined);
  return (
    <Panel
      title={t('jobs.groups')}
      flush
      actions={
        <Button size="small" href={`${BASE}/jobs/executions/${encodeURIComponent(e.id)}/download`} icon={<Icon of={Download} />}>
          {t('jobs.downloadAll')}
        </Button>
      }
    >
      {groups.error ? (
        <div style={{ padding: 12 }}>
          <ProblemNote error={groups.error} />
        </div>
      ) : null}
      {groups.isPending && <Loading />}
      {items.length > 0 && (
        <div className="table-wrap">
          <table className="t">
            <thead>
              <tr>
                <th scope="col" className="num">{t('jobs.targets')}</th>
                <th scope="col">{t('field.status')}</th>
                <th scope="col">{t('jobs.fault')}</th>
                <th scope="col" className="num only-wide-cell">{t('jobs.exit')}</th>
                <th scope="col" className="num only-wide-cell">{t('jobs.output')}</th>
                <th scope="col">{t('jobs.oneOfThem')}</th>
                <th scope="col">{t('jobs.compare')}</th>
              </tr>
            </thead>
            <tbody>
              {items.map((g) => (
                <tr key={keyOf(g)} aria-current={(url.output_hash !== undefined && url.output_hash === g.output_hash && url.status === g.status) || undefined}>
                  <td className="num">
                    <Button type="link" size="small" onClick={() => pick(g)} title={t('jobs.showGroup')}>
                      {g.count}
                    </Button>
                  </td>
                  <td>
                    <Status value={g.status} />
                  </td>
                  <td>{g.fault ? t(`jobs.fault.${g.fault}`) : ''}</td>
                  <td className="num only-wide-cell mono">{g.signal != null ? t('jobs.signal', { n: g.signal }) : (g.exit_code ?? '')}</td>
                  <td className="num only-wide-cell dim nowrap">{g.stdout_bytes + g.stderr_bytes > 0 ? bytes(g.stdout_bytes + g.stderr_bytes) : ''}</td>
                  <td>
                    <Clip width={180}>{g.node_name}</Clip>
                  </td>
                  <td>
                    <Checkbox
                      aria-label={t('jobs.compareGroup', { name: g.node_name })}
                      checked={chosen.includes(keyOf(g))}
                      disabled={!g.output_hash}
                      onChange={(x) => setChosen(x.target.checked ? [...chosen, keyOf(g)].slice(-2) : chosen.filter((k) => k !== keyOf(g)))}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(groups.data?.others ?? 0) > 0 && (
        <p className="dim" style={{ padding: 12 }}>
          {t('jobs.otherGroups', { n: groups.data?.others ?? 0 })}
        </p>
      )}
      {two[0] && two[1] && <Compare execution={e.id} left={two[0]} right={two[1]} />}
    </Panel>
  );
}

function Compare({ execution, left, right }: { execution: string; left: ResultGroup; right: ResultGroup }) {
  const { t } = useI18n();
  const [stream, setStream] = useState<'stdout' | 'stderr'>('stdout');
  const text = useQuery({
    queryKey: ['jobs', 'compare', execution, left.node_id, right.node_id, stream],
    queryFn: () => Promise.all([left, right].map((g) => api.jobs.output(execution, g.node_id, stream, 0))),
  });
  const [a, b] = text.data ?? [];
  const lines = a && b ? diffLines(a.text, b.text) : [];
  const differs = lines.some((l) => l.kind === 'left' || l.kind === 'right');
  return (
    <div className="stack tight" style={{ padding: 12 }}>
      <div className="row wrap between">
        <span>
          <code>- {left.node_name}</code> ({left.count}) <code>+ {right.node_name}</code> ({right.count})
        </span>
        <Segmented size="small" value={stream} onChange={setStream} options={['stdout', 'stderr']} />
      </div>
      {text.error ? <ProblemNote error={text.error} /> : null}
      {text.isPending && <Loading />}
      {a && b && !differs && <span className="dim">{t('jobs.noDifference')}</span>}
      {(a && !a.end) || (b && !b.end) ? <Note tone="info">{t('jobs.comparedPart', { size: bytes(COMPARED) })}</Note> : null}
      {differs && (
        <pre className="code" style={{ maxHeight: 420, overflow: 'auto' }} tabIndex={0}>
          {lines.slice(0, 5000).map((l, i) =>
            l.kind === 'gap' ? (
              <div key={i} className="faint">
                {t('jobs.sameLines', { n: l.count })}
              </div>
            ) : (
              <div key={i} className={l.kind === 'left' ? 'diff-del' : l.kind === 'right' ? 'diff-add' : undefined} style={l.kind === 'same' ? undefined : { color: `var(--p-${l.kind === 'left' ? 'bad' : 'ok'})` }}>
                {{ same: '  ', left: '- ', right: '+ ' }[l.kind]}
                {l.text}
              </div>
            ),
          )}
        </pre>
      )}
    </div>
  );
}

/** Lines of any target's output that hold a text. */
export function OutputSearch({ execution: e, onOpen }: { execution: Execution; onOpen: (node: string, name: string) => void }) {
  const { t } = useI18n();
  const [text, setText] = useState('');
  const [asked, setAsked] = useState('');
  const found = useInfiniteQuery({
    queryKey: ['jobs', 'search', e.id, asked],
    queryFn: ({ pageParam }) => api.jobs.search(e.id, asked, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (p) => p.next_cursor ?? undefined,
    enabled: asked !== '',
  });
  const items = found.data?.pages.flatMap((p) => p.items) ?? [];
  const searched = found.data?.pages.reduce((n, p) => n + p.searched, 0) ?? 0;
  return (
    <Panel title={t('jobs.searchOutput')}>
      <div className="stack tight">
        <Input.Search value={text} maxLength={200} onChange={(x) => setText(x.target.value)} onSearch={(v) => setAsked(v.trim())} placeholder={t('jobs.searchHint')} aria-label={t('jobs.searchOutput')} loading={found.isFetching} allowClear />
        {found.error ? <ProblemNote error={found.error} /> : null}
        {asked && found.data && <span className="dim">{t('jobs.searched', { n: items.length, of: searched })}</span>}
        {items.slice(0, 500).map((m) => (
          <div key={`${m.node_id}/${m.stream}`}>
            <Button type="link" size="small" style={{ paddingInline: 0 }} onClick={() => onOpen(m.node_id, m.node_name)}>
              {m.node_name}
            </Button>{' '}
            <span className="dim">
              {m.stream} · {t('jobs.matchingLines', { n: m.count })}
            </span>
            <pre className="code" style={{ overflow: 'auto' }} tabIndex={0}>
              {m.lines.map((l) => `${l.number}: ${l.text}`).join('\n')}
            </pre>
          </div>
        ))}
        {found.hasNextPage && (
          <Button size="small" loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
            {t('jobs.searchMore')}
          </Button>
        )}
      </div>
    </Panel>
  );
}
