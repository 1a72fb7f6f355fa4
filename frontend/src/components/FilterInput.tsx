import { Button, Input } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { CircleHelp } from 'lucide-react';
import { useEffect, useId, useState } from 'react';
import { api } from '../api/endpoints';
import type { Attribute, FilterCheck } from '../api/types';
import { useI18n } from '../i18n';
import { Icon, useProblemText } from './base';
import { FilterHelp } from './FilterHelp';

export function useDebounced<V>(value: V, ms: number): V {
  const [v, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return v;
}

/** Replaces the unknown word at `position` with the hint, when the hint is a single name. */
export function applyHint(filter: string, position: number, hint: string): string | null {
  if (!/^[A-Za-z_][\w.]*$/.test(hint)) return null;
  const word = /^[A-Za-z_][\w.]*/.exec(filter.slice(position));
  return word ? filter.slice(0, position) + hint + filter.slice(position + word[0].length) : null;
}

/** What the host says of a filter, asked while it is typed. */
export function useFilterCheck(model: string, filter: string) {
  const settled = useDebounced(filter.trim(), 250);
  return useQuery({
    queryKey: ['cmdb', 'check', model, settled],
    queryFn: () => api.cmdb.checkFilter(model, settled),
    enabled: settled !== '' && model !== '',
    retry: false,
    staleTime: 5_000,
    placeholderData: (old) => old,
  });
}

export function FilterMessage({ filter, check, onFix }: { filter: string; check: FilterCheck | undefined; onFix?: (f: string) => void }) {
  const { t } = useI18n();
  if (!check || !filter.trim()) return null;
  if (check.ok)
    return (
      <span className="dim">
        {check.count == null ? t('filter.ok') : t('filter.matches', { n: check.count })}
        {check.unindexed && check.unindexed.length > 0 && <span className="faint"> · {t('filter.unindexed', { names: check.unindexed.join(', ') })}</span>}
      </span>
    );
  const e = check.error;
  if (!e) return null;
  const fixed = e.hint && e.position != null ? applyHint(filter, e.position, e.hint) : null;
  return (
    <div style={{ color: 'var(--p-bad)' }}>
      {e.position != null && e.position >= 0 && (
        <pre className="mono" aria-hidden="true">
          {filter.replace(/\n/g, ' ')}
          {'\n'}
          {' '.repeat(e.position)}^
        </pre>
      )}
      {e.message}
      {e.position != null && <span className="vh"> {t('filter.position', { n: e.position + 1 })}</span>}{' '}
      {e.hint &&
        (fixed && onFix ? (
          <Button type="link" size="small" style={{ padding: 0, height: 'auto' }} onClick={() => onFix(fixed)}>
            {t('filter.useHint', { hint: e.hint })}
          </Button>
        ) : (
          <span>{e.hint}</span>
        ))}
    </div>
  );
}

/** A CEL filter: checked while typed, applied by Enter. An invalid filter is never applied. */
export function FilterInput({ model, attributes, value, onApply }: { model: string; attributes: Attribute[]; value: string; onApply: (filter: string) => void }) {
  const { t } = useI18n();
  const [text, setText] = useState(value);
  const [help, setHelp] = useState(false);
  const [seen, setSeen] = useState(value);
  if (seen !== value) {
    setSeen(value);
    setText(value);
  }
  const id = useId();
  const problem = useProblemText();
  const { data: check, error, isFetching } = useFilterCheck(model, text);
  const settled = !isFetching && check;
  const apply = (f = text) => {
    if (f.trim() === '' || !settled || settled.ok || f !== text) onApply(f.trim());
  };
  return (
    <div className="cel">
      <Input
        value={text}
        aria-label={t('filter.label')}
        aria-describedby={id}
        aria-invalid={check && !check.ok ? true : undefined}
        status={text.trim() && check && !check.ok ? 'error' : undefined}
        placeholder={t('filter.placeholder')}
        className="mono-input"
        spellCheck={false}
        autoCapitalize="off"
        autoComplete="off"
        allowClear
        onChange={(e) => {
          setText(e.target.value);
          if (e.target.value === '') onApply('');
        }}
        onPressEnter={() => apply()}
        suffix={
          <button type="button" className="icon-btn" style={{ height: 22, minWidth: 22, padding: 0 }} aria-label={t('filter.help')} onClick={() => setHelp(true)}>
            <Icon of={CircleHelp} />
          </button>
        }
      />
      <div id={id} className="cel-msg" aria-live="polite" hidden={!text.trim()}>
        {error ? <span style={{ color: 'var(--p-bad)' }}>{problem(error).detail || problem(error).title}</span> : <FilterMessage filter={text} check={check} onFix={setText} />}
        {text.trim() !== value && settled && settled.ok && (
          <Button type="link" size="small" style={{ padding: '0 6px', height: 18 }} onClick={() => apply()}>
            {t('filter.apply')}
          </Button>
        )}
      </div>
      <FilterHelp open={help} onClose={() => setHelp(false)} attributes={attributes} onPick={(x) => setText((old) => (old.trim() ? `${old.trim()} && ${x}` : x))} />
    </div>
  );
}
