import type { SearchHit } from '../../api/types';
import type { Text } from '../../i18n';

/** Where a hit matched, beside its label: `Addresses: 10.2.3.4`. */
export function matchText(hit: SearchHit, tl: (t: Text | undefined) => string): string {
  return hit.matched
    .filter((m) => m.attribute !== 'label' && m.snippet !== hit.label)
    .map((m) => `${m.attribute === 'id' ? 'ID' : tl(m.title) || m.attribute}: ${m.snippet}`)
    .join(' · ');
}
