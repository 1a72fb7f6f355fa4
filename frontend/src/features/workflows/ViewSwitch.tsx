import { Segmented } from 'antd';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';

export type View = 'drawing' | 'text' | 'both';

/** Which view, from the URL; without one there, what fits. */
export function useView(usual: View): [View, (v: View) => void] {
  const [url, setUrl] = useUrl();
  const view = url.view === 'drawing' || url.view === 'text' || url.view === 'both' ? url.view : usual;
  return [view, (v) => setUrl({ view: v === usual ? undefined : v })];
}

export function ViewSwitch({ value, onChange }: { value: View; onChange: (v: View) => void }) {
  const { t } = useI18n();
  return (
    <Segmented<View>
      size="small"
      aria-label={t('canvas.view')}
      value={value}
      onChange={onChange}
      options={[
        { value: 'drawing', label: t('canvas.title') },
        { value: 'text', label: t('canvas.text') },
        { value: 'both', label: t('canvas.both') },
      ]}
    />
  );
}
