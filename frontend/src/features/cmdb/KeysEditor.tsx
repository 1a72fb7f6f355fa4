import { Button, Select } from 'antd';
import { ArrowUp, Plus, Trash2 } from 'lucide-react';
import type { Attribute } from '../../api/types';
import { Icon } from '../../components/base';
import { useI18n } from '../../i18n';
import { single } from './rules';

/** Sets of attributes: keys that are unique together, or the rules by which a record is recognised. */
export function KeysEditor({ title, hint, add, keys, attributes, onChange, ordered }: { title: string; hint: string; add: string; keys: string[][]; attributes: Attribute[]; onChange: (keys: string[][]) => void; ordered?: boolean }) {
  const { t, tl } = useI18n();
  const options = attributes.filter((a) => single(a.kind)).map((a) => ({ value: a.name, label: tl(a.title) || a.name }));
  const put = (i: number, key: string[]) => onChange(keys.map((k, j) => (i === j ? key : k)));
  return (
    <fieldset style={{ marginBottom: 12 }}>
      <legend>{title}</legend>
      <p className="dim">{hint}</p>
      <div className="stack tight">
        {keys.map((key, i) => (
          <div key={i} className="row">
            {ordered && <span className="faint">{i + 1}.</span>}
            <Select mode="multiple" className="grow" maxCount={8} aria-label={`${title} ${i + 1}`} value={key} options={options} onChange={(k) => put(i, k)} />
            {ordered && (
              <button type="button" className="icon-btn" disabled={i === 0} aria-label={t('model.up', { n: i + 1 })} onClick={() => onChange([...keys.slice(0, i - 1), key, keys[i - 1] ?? [], ...keys.slice(i + 1)])}>
                <Icon of={ArrowUp} />
              </button>
            )}
            <button type="button" className="icon-btn" aria-label={t('model.removeKey', { n: i + 1 })} onClick={() => onChange(keys.filter((_, j) => j !== i))}>
              <Icon of={Trash2} />
            </button>
          </div>
        ))}
        <div>
          <Button size="small" icon={<Icon of={Plus} />} onClick={() => onChange([...keys, []])}>
            {add}
          </Button>
        </div>
      </div>
    </fieldset>
  );
}
