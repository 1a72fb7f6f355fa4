/** The values that the records of a list have, with their numbers: ticking one puts it into the filter. */
import { Button, Checkbox, Select } from 'antd';
import { keepPreviousData, useQueries } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Attribute, Model } from '../../api/types';
import { ProblemNote } from '../../components/base';
import { useUrl } from '../../components/useUrl';
import { useI18n } from '../../i18n';
import { ticked, toggle, without, type FacetScalar } from './clauses';
import { single } from './rules';

const TOP = 8;
const MOST = 12;

/** What is worth counting: few values, of which people know the names. */
export function usualFacets(model: Model): string[] {
  const rank = (a: Attribute) => (a.kind === 'enum' ? 0 : a.kind === 'boolean' ? 1 : 2);
  const some = model.attributes.filter((a) => a.name !== model.display && (a.kind === 'enum' || a.kind === 'boolean' || (a.indexed && a.kind === 'text' && a.name !== 'node_id' && a.name !== 'machine_id')));
  return [...some].sort((a, b) => rank(a) - rank(b)).slice(0, 5).map((a) => a.name);
}

export function FacetPanel({ model }: { model: Model }) {
  const { t, tl } = useI18n();
  const [url, setUrl] = useUrl();
  const key = `plenum.facets.${model.name}`;
  const [chosen, setChosen] = useState<string[]>(() => localStorage.getItem(key)?.split(',').filter(Boolean) ?? usualFacets(model));
  const fields = chosen.filter((f) => model.attributes.some((a) => a.name === f));
  const filter = url.filter ?? '';
  // A field is counted as if nothing of it were ticked: else its other values would vanish. Fields with nothing ticked share one question.
  const asked = [...new Set(fields.map((f) => without(filter, f)))].map((f) => ({ filter: f, fields: fields.filter((x) => without(filter, x) === f) }));
  const answers = useQueries({
    queries: asked.map((a) => ({
      queryKey: ['cmdb', 'facets', model.name, a.filter, url.q ?? '', a.fields],
      queryFn: () => api.cmdb.facets(model.name, { fields: a.fields.join(','), filter: a.filter || undefined, search: url.q, top: TOP }),
      placeholderData: keepPreviousData,
    })),
  });
  const problem = answers.find((a) => a.error)?.error;
  const show = (a: Attribute, v: FacetScalar) => (v === null ? t('query.none') : typeof v === 'boolean' ? t(v ? 'query.yes' : 'query.no') : String(v) || a.name);
  return (
    <aside className="panel facets" aria-label={t('query.facets')}>
      {problem ? <ProblemNote error={problem} /> : null}
      {fields.map((name) => {
        const a = model.attributes.find((x) => x.name === name);
        const facet = answers.flatMap((x) => x.data?.facets ?? []).find((f) => f.field === name);
        if (!a) return null;
        const on = ticked(filter, name);
        return (
          <fieldset key={name} className="facet">
            <legend>{tl(a.title) || a.name}</legend>
            {(facet?.values ?? []).map((v) => (
              <div key={String(v.value)} className="facet-row">
                <Checkbox checked={on.includes(v.value)} onChange={() => setUrl({ filter: toggle(filter, name, v.value) || undefined, cursor: undefined }, true)}>
                  <span className={v.value === null ? 'faint clip' : 'clip'} title={show(a, v.value)}>
                    {show(a, v.value)}
                  </span>
                </Checkbox>
                <span className="faint num">{v.count.toLocaleString()}</span>
              </div>
            ))}
            {facet && facet.values.length === 0 && <span className="faint">{t('query.noValues')}</span>}
            {facet && facet.others > 0 && <span className="faint">{t('query.others', { n: facet.others.toLocaleString() })}</span>}
          </fieldset>
        );
      })}
      <Select
        mode="multiple"
        size="small"
        maxTagCount={0}
        maxTagPlaceholder={t('query.counted', { n: fields.length })}
        aria-label={t('query.chooseFacets')}
        placeholder={t('query.chooseFacets')}
        value={fields}
        options={model.attributes.filter((a) => single(a.kind)).map((a) => ({ value: a.name, label: tl(a.title) || a.name }))}
        style={{ width: '100%' }}
        onChange={(next: string[]) => {
          const kept = next.slice(0, MOST);
          localStorage.setItem(key, kept.join(','));
          setChosen(kept);
        }}
      />
      {filter && (
        <Button size="small" type="text" onClick={() => setUrl({ filter: undefined, cursor: undefined }, true)}>
          {t('query.clear')}
        </Button>
      )}
    </aside>
  );
}
