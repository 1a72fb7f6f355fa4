import { Checkbox, Input } from 'antd';
import type { TargetPreview } from '../../api/types';
import { Note } from '../../components/base';
import { useI18n } from '../../i18n';

/** Names and addresses as pasted, and what of them leads nowhere. */
export function Pasted({ value, onChange, skip, onSkip, preview }: { value: string; onChange: (v: string) => void; skip: boolean; onSkip: (v: boolean) => void; preview?: TargetPreview }) {
  const { t } = useI18n();
  const unmatched = preview?.unmatched ?? [];
  return (
    <div className="stack tight">
      <Input.TextArea
        aria-label={t('jobs.pasted')}
        placeholder={'web-1.example.org\n10.0.0.5, 10.0.0.6'}
        value={value}
        onChange={(e) => onChange(e.target.value)}
        autoSize={{ minRows: 4, maxRows: 12 }}
        spellCheck={false}
        className="mono-input"
      />
      <span className="dim">{t('jobs.pastedHint')}</span>
      {unmatched.length > 0 && (
        <Note tone="warn" title={t('jobs.unmatched', { n: preview?.unmatched_total ?? unmatched.length })}>
          <ul style={{ maxHeight: 160, overflow: 'auto' }} tabIndex={0} aria-label={t('jobs.unmatchedList')}>
            {unmatched.map((u) => (
              <li key={u.text}>
                <code>{u.text}</code>: {u.reason}
              </li>
            ))}
          </ul>
          <Checkbox checked={skip} onChange={(e) => onSkip(e.target.checked)}>
            {t('jobs.skipUnmatched')}
          </Checkbox>
        </Note>
      )}
    </div>
  );
}
