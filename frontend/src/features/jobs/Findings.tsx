/** What the rules found in a script: as one types, and with the execution. */
import { useQuery } from '@tanstack/react-query';
import type { Finding, FindingLevel, Targets } from '../../api/types';
import { Chip, Note, type Tone } from '../../components/base';
import { useDebounced } from '../../components/FilterInput';
import { useI18n } from '../../i18n';
import { safetyApi, type CheckBody } from './safety';

export const LEVEL_TONE: Record<FindingLevel, Tone> = { warn: 'info', approve: 'warn', block: 'bad' };

/** Findings, worst first. With `onGo`, places lead to the line in the editor. */
export function FindingList({ findings, onGo }: { findings: Finding[]; onGo?: (line: number) => void }) {
  const { t } = useI18n();
  return (
    <ul className="stack tight" aria-label={t('safety.findings')} style={{ listStyle: 'none', padding: 0, margin: 0 }}>
      {findings.map((f) => {
        const place = t('safety.place', { line: f.line, column: f.column });
        return (
          <li key={`${f.rule}:${f.line}:${f.column}`}>
            <div className="row wrap">
              <Chip tone={LEVEL_TONE[f.level]}>{t(`safety.level.${f.level}`)}</Chip>
              <strong>{f.title}</strong>
              {onGo ? (
                <button type="button" className="link" onClick={() => onGo(f.line)}>
                  {place}
                </button>
              ) : (
                <span className="dim">{place}</span>
              )}
              <span className="faint mono">{f.rule}</span>
            </div>
            <code style={{ display: 'block', overflow: 'auto', whiteSpace: 'pre' }} tabIndex={0}>
              {f.excerpt}
            </code>
            {f.through.length > 0 && <div className="dim">{t('safety.through', { what: f.through.join(' → ') })}</div>}
            <div>
              {f.why} <span className="dim">{f.advice}</span>
            </div>
          </li>
        );
      })}
    </ul>
  );
}

/** Looks at a script whenever it has come to rest; nothing is shown while nothing was found. */
export function ScriptFindings({ script, args, cwd, targets, onGo }: CheckBody & { targets?: Targets; onGo?: (line: number) => void }) {
  const { t } = useI18n();
  const settled = useDebounced(JSON.stringify({ script, ...(args?.length ? { args } : {}), ...(cwd ? { cwd } : {}), ...(targets ? { targets } : {}) }), 400);
  const body = JSON.parse(settled) as CheckBody;
  const empty = body.script.content.trim() === '';
  const verdict = useQuery({
    queryKey: ['jobs', 'check', settled],
    queryFn: () => safetyApi.check(body),
    enabled: !empty,
    retry: false,
    placeholderData: (old) => old,
  });
  const level = verdict.data?.level;
  if (empty || !verdict.data || !level) return null;
  return (
    <Note tone={level === 'block' ? 'bad' : level === 'approve' ? 'warn' : 'info'} title={t(`safety.said.${level}`)}>
      <FindingList findings={verdict.data.findings} onGo={onGo} />
    </Note>
  );
}
