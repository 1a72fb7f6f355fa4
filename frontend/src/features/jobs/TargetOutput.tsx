import { Button } from 'antd';
import { ArrowDownToLine, Download } from 'lucide-react';
import { useCallback, useEffect, useRef, useState } from 'react';
import { api } from '../../api/endpoints';
import type { TargetResult } from '../../api/types';
import { Icon, ProblemNote } from '../../components/base';
import { saveFile } from '../../components/csv';
import { bytes } from '../../components/format';
import { useI18n } from '../../i18n';

type Stream = 'stdout' | 'stderr';

// A page that shows megabytes of text stalls; more than this is for the download.
const SHOWN_CHARS = 400_000;

/** Tells open outputs that there is more to read. */
export type OutputSignal = { listen: (f: (node: string, stream: Stream) => void) => () => void };

/**
 * The text of one stream, read in pieces from where it stands. The live stream only says that there is more: offsets
 * are in bytes, and the host alone knows them.
 */
function useOutput(execution: string, node: string, stream: Stream, signal: OutputSignal, live: boolean) {
  const [text, setText] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [dropped, setDropped] = useState(false);
  const state = useRef({ offset: 0, busy: false, again: false, gone: false });

  const pull = useCallback(async () => {
    const s = state.current;
    if (s.busy) {
      s.again = true;
      return;
    }
    s.busy = true;
    try {
      do {
        s.again = false;
        for (;;) {
          const piece = await api.jobs.output(execution, node, stream, s.offset);
          if (s.gone) return;
          setError(null);
          if (piece.text) {
            setText((old) => {
              const all = old + piece.text;
              if (all.length <= SHOWN_CHARS) return all;
              setDropped(true);
              return all.slice(all.length - SHOWN_CHARS);
            });
          }
          const moved = piece.next_offset > s.offset;
          s.offset = piece.next_offset;
          if (piece.end || !moved) break;
        }
      } while (s.again);
    } catch (e) {
      if (!s.gone) setError(e);
    } finally {
      s.busy = false;
    }
  }, [execution, node, stream]);

  useEffect(() => {
    const s = state.current;
    s.gone = false;
    void pull();
    return () => {
      s.gone = true;
    };
  }, [pull]);
  useEffect(() => {
    if (!live) {
      void pull();
      return;
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = signal.listen((n, st) => {
      if (n !== node || st !== stream) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        void pull();
      }, 120);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [live, node, pull, signal, stream]);
  return { text, error, dropped };
}

export function TargetOutput({ execution, result, signal }: { execution: string; result: TargetResult; signal: OutputSignal }) {
  const { t } = useI18n();
  const live = result.status === 'running' || result.status === 'pending' || result.status === 'waiting';
  return (
    <div className="stack tight">
      <Block execution={execution} result={result} stream="stdout" signal={signal} live={live} />
      {(result.stderr_bytes > 0 || live) && <Block execution={execution} result={result} stream="stderr" signal={signal} live={live} />}
      {result.truncated_bytes > 0 && <p className="dim">{t('jobs.truncated', { size: bytes(result.truncated_bytes) })}</p>}
    </div>
  );
}

function Block({ execution, result, stream, signal, live }: { execution: string; result: TargetResult; stream: Stream; signal: OutputSignal; live: boolean }) {
  const { t } = useI18n();
  const { text, error, dropped } = useOutput(execution, result.node_id, stream, signal, live);
  const box = useRef<HTMLPreElement>(null);
  const [follow, setFollow] = useState(true);
  useEffect(() => {
    const el = box.current;
    if (el && follow && live) el.scrollTop = el.scrollHeight;
  }, [text, follow, live]);
  if (stream === 'stderr' && !text && !error) return null;

  const download = async () => {
    const parts: string[] = [];
    let offset = 0;
    for (;;) {
      const piece = await api.jobs.output(execution, result.node_id, stream, offset);
      parts.push(piece.text);
      if (piece.end || piece.next_offset <= offset) break;
      offset = piece.next_offset;
    }
    saveFile(`${result.node_name}.${stream}.txt`, 'text/plain', parts.join(''));
  };
  return (
    <div>
      <div className="row between">
        <span className="faint mono">{stream}</span>
        <span className="row">
          {live && !follow && (
            <Button size="small" type="text" icon={<Icon of={ArrowDownToLine} />} onClick={() => setFollow(true)}>
              {t('jobs.follow')}
            </Button>
          )}
          {text && (
            <button type="button" className="icon-btn" aria-label={t('jobs.download', { name: `${result.node_name} ${stream}` })} title={t('jobs.downloadShort')} onClick={() => void download()}>
              <Icon of={Download} />
            </button>
          )}
        </span>
      </div>
      <ProblemNote error={error} />
      {dropped && <p className="dim">{t('jobs.tailOnly')}</p>}
      <pre
        ref={box}
        className="term"
        tabIndex={0}
        aria-label={`${result.node_name} ${stream}`}
        onScroll={(e) => {
          const el = e.currentTarget;
          setFollow(el.scrollHeight - el.scrollTop - el.clientHeight < 24);
        }}
      >
        {text ? <span className={stream === 'stderr' ? 'err' : undefined}>{text}</span> : <span className="faint">{live ? t('jobs.noOutputYet') : t('jobs.noOutput')}</span>}
      </pre>
    </div>
  );
}
