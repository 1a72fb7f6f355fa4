import { Modal } from 'antd';
import type { Attribute } from '../api/types';
import { useI18n } from '../i18n';

/** An example of a filter on one attribute. */
export function example(a: Attribute): string {
  switch (a.kind) {
    case 'integer':
    case 'decimal':
      return `${a.name} >= 1`;
    case 'boolean':
      return `${a.name} == true`;
    case 'list':
    case 'multi_enum':
      return `"x" in ${a.name}`;
    case 'table':
      return `${a.name}.exists(r, has(r.${a.columns?.[0]?.name ?? 'name'}))`;
    case 'enum':
      return `${a.name} == "${a.options?.[0] ?? ''}"`;
    case 'timestamp':
      return `${a.name} > "2026-01-01T00:00:00Z"`;
    case 'date':
      return `${a.name} >= "2026-01-01"`;
    case 'ip':
      return `${a.name}.startsWith("10.")`;
    case 'cidr':
      return `${a.name} == "10.1.0.0/16"`;
    default:
      return `${a.name}.contains("x")`;
  }
}

export function FilterHelp({ open, onClose, attributes, onPick }: { open: boolean; onClose: () => void; attributes: Attribute[]; onPick: (text: string) => void }) {
  const { t, tl } = useI18n();
  return (
    <Modal open={open} onCancel={onClose} footer={null} title={t('filter.help')} width={680}>
      <p className="dim" style={{ marginBottom: 8 }}>
        {t('filter.helpText')}
      </p>
      <pre className="code" style={{ marginBottom: 12 }}>
        {'os_id == "debian" && cpu_count >= 4\nhostname.startsWith("db-") || "10.0.0.5" in addresses\nowner == null && env in ["prod", "staging"]\nmounts.exists(m, m.mount_point == "/" && m.used_bytes > 50000000000)\nruns_on.exists(h, h.env == "prod")\nsize(runs) == 0\nin_group("web-prod")'}
      </pre>
      <div style={{ maxHeight: 320, overflow: 'auto' }}>
        <table className="t">
          <thead>
            <tr>
              <th>{t('filter.field')}</th>
              <th>{t('filter.meaning')}</th>
              <th>{t('filter.example')}</th>
            </tr>
          </thead>
          <tbody>
            {attributes.map((a) => (
              <tr key={a.name}>
                <td>
                  <code>{a.name}</code>
                </td>
                <td>{tl(a.title)}</td>
                <td>
                  <button
                    type="button"
                    className="icon-btn mono"
                    onClick={() => {
                      onPick(example(a));
                      onClose();
                    }}
                  >
                    {example(a)}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Modal>
  );
}
