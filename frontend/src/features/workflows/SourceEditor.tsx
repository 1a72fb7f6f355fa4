/** A workflow's text, checked by the host while it is written. Each problem leads to its line. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import { Note, ProblemNote } from '../../components/base';
import CodeEditor from '../../components/CodeEditor';
import { useDebounced } from '../../components/FilterInput';
import { useI18n } from '../../i18n';
import { lineOf } from './yamlLines';

export default function SourceEditor({ value, onChange, readOnly, goto: asked }: { value: string; onChange?: (v: string) => void; readOnly?: boolean; goto?: { line: number } }) {
  const { t } = useI18n();
  const settled = useDebounced(value, 400);
  const [own, setGoto] = useState<{ line: number } | undefined>();
  // The newer of the two: where a problem was chosen, or where the drawing points.
  const [pointed, setPointed] = useState(asked);
  if (pointed !== asked) {
    setPointed(asked);
    setGoto(asked);
  }
  const goto = own ?? asked;
  const check = useQuery({
    queryKey: ['workflows', 'validate', settled],
    queryFn: () => api.workflows.validate(settled),
    enabled: !readOnly && settled.trim() !== '',
    retry: false,
    placeholderData: (o) => o,
  });
  const errors = check.data?.errors ?? [];
  return (
    <div className="stack tight">
      <CodeEditor language="yaml" label={t('workflows.source')} value={value} onChange={onChange} readOnly={readOnly} minHeight={readOnly ? 80 : 320} goto={goto} />
      {!readOnly && (
        <div aria-live="polite">
          {check.error ? (
            <ProblemNote error={check.error} />
          ) : errors.length > 0 ? (
            <Note tone="bad" title={t('workflows.problems', { n: errors.length })}>
              <ul>
                {errors.map((e, i) => {
                  const line = lineOf(settled, e.pointer);
                  return (
                    <li key={i}>
                      {line !== null && (
                        <button type="button" className="icon-btn" style={{ height: 22, color: 'inherit', textDecoration: 'underline' }} onClick={() => setGoto({ line })}>
                          {t('workflows.line', { n: line })}
                        </button>
                      )}{' '}
                      <code>{e.pointer}</code> {e.message}
                    </li>
                  );
                })}
              </ul>
            </Note>
          ) : (
            check.data && <span className="dim">{t('workflows.valid')}</span>
          )}
        </div>
      )}
    </div>
  );
}
