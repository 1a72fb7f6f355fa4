/** How attributes look and how they are read. */
import { Tag } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { api } from '../../api/endpoints';
import type { Attribute, Json } from '../../api/types';
import { Chip, Clip, JsonView, Status, Time } from '../../components/base';
import { quantity } from '../../components/format';
import { useI18n, type Text } from '../../i18n';
import { useCan } from '../../session';
import { formed } from './rules';

const STATES = new Set(['online', 'offline', 'running', 'stopped', 'unknown', 'active', 'failed']);

export function isMissing(v: Json | undefined): v is null | undefined | '' {
  return v === null || v === undefined || v === '' || (Array.isArray(v) && v.length === 0);
}

/** Plain text of a value, for exports and titles. */
export function plain(v: Json | undefined): string {
  if (v === null || v === undefined) return '';
  if (Array.isArray(v)) return v.map((x) => (typeof x === 'object' ? JSON.stringify(x) : String(x))).join('; ');
  return typeof v === 'object' ? JSON.stringify(v) : String(v);
}

export function AttributeValue({ attribute, value, compact }: { attribute: Attribute; value: Json | undefined; compact?: boolean }): ReactNode {
  const { t, tl, locale } = useI18n();
  if (isMissing(value)) return compact ? null : <span className="faint">—</span>;
  switch (attribute.kind) {
    case 'boolean':
      return value ? t('value.yes') : t('value.no');
    case 'integer':
    case 'decimal':
      // A port or a process id has no unit, and no digits to group.
      return typeof value === 'number' && (attribute.unit || !Number.isInteger(value)) ? <span className="nowrap">{quantity(value, attribute.unit, locale)}</span> : plain(value);
    case 'timestamp':
      return <Time at={timestamp(value)} both={!compact} />;
    case 'enum': {
      const text = String(value);
      const colour = attribute.colours?.[text];
      if (colour) return <Tag color={colour === 'grey' ? undefined : colour}>{text}</Tag>;
      return STATES.has(text) ? <Status value={text} still /> : text;
    }
    case 'reference':
    case 'references': {
      const ids = (Array.isArray(value) ? value : [value]).map(plain);
      if (compact && ids.length > 3) return <span className="dim">{t('value.rows', { n: ids.length })}</span>;
      return (
        <span className="row wrap" style={{ gap: 8 }}>
          {ids.map((id) => (
            <Referred key={id} model={attribute.target ?? ''} id={id} />
          ))}
        </span>
      );
    }
    case 'list':
    case 'users':
    case 'multi_enum': {
      const items = Array.isArray(value) ? value : [value];
      if (compact) return <Clip>{items.map(plain).join(', ')}</Clip>;
      return (
        <span className="row wrap" style={{ gap: 4 }}>
          {items.map((x, i) => (
            <Chip key={i} title={plain(x)}>
              {plain(x)}
            </Chip>
          ))}
        </span>
      );
    }
    case 'table':
      if (compact) return <span className="dim">{t('value.rows', { n: Array.isArray(value) ? value.length : 0 })}</span>;
      return <ValueTable columns={attribute.columns ?? []} rows={Array.isArray(value) ? value : []} label={tl(attribute.title)} />;
    case 'json':
      return compact ? <Clip mono>{JSON.stringify(value)}</Clip> : <JsonView value={value} />;
    case 'ip':
    case 'cidr':
    case 'mac':
      return compact ? <Clip mono>{plain(value)}</Clip> : <span className="mono">{plain(value)}</span>;
    case 'url':
      // Whatever is stored, only these lead anywhere.
      if (compact || !formed('url', plain(value))) return compact ? <Clip>{plain(value)}</Clip> : plain(value);
      return (
        <a href={plain(value)} target="_blank" rel="noreferrer">
          {plain(value)}
        </a>
      );
    case 'long_text':
      return compact ? <Clip>{plain(value)}</Clip> : <span style={{ whiteSpace: 'pre-wrap' }}>{plain(value)}</span>;
    default: {
      const text = plain(value);
      if (attribute.name === 'status' && STATES.has(text)) return <Status value={text} still />;
      if (!compact && (attribute.name === 'host_id' || attribute.name === 'node_id')) return <Named kind={attribute.name} id={text} />;
      return compact ? <Clip>{text}</Clip> : text;
    }
  }
}

/** The machine or the node that an id stands for. Its record may be gone: then the id is all that is left. */
function Named({ kind, id }: { kind: 'host_id' | 'node_id'; id: string }) {
  const can = useCan();
  const host = useQuery({ queryKey: ['cmdb', 'instance', 'host', id], queryFn: () => api.cmdb.instance('host', id), enabled: kind === 'host_id', retry: false });
  const node = useQuery({ queryKey: ['nodes', 'one', id], queryFn: () => api.nodes.get(id), enabled: kind === 'node_id' && can('nodes.read'), retry: false });
  if (host.data) return <Link to={`/cmdb/host/${id}`}>{host.data.label}</Link>;
  if (node.data) return <Link to="/nodes" search={{ q: node.data.name } as never}>{node.data.name}</Link>;
  return <span className="mono">{id}</span>;
}

/** The instance that an id stands for; it may be gone, or not for this person to see. */
function Referred({ model, id }: { model: string; id: string }) {
  const found = useQuery({ queryKey: ['cmdb', 'instance', model, id], queryFn: () => api.cmdb.instance(model, id), retry: false, staleTime: 60_000 });
  if (!found.data) return <span className="mono">{id}</span>;
  return <Link to={`/cmdb/${model}/${id}`}>{found.data.label}</Link>;
}

/** Times are kept as RFC 3339 or as milliseconds. */
function timestamp(v: Json): string {
  return typeof v === 'number' ? new Date(v).toISOString() : String(v);
}

/** A value that is itself a table: disks, mounts, interfaces. */
export function ValueTable({ columns, rows, label }: { columns: Attribute[]; rows: Json[]; label: string }) {
  const { tl } = useI18n();
  const shown: Attribute[] =
    columns.length > 0
      ? columns
      : [...new Set(rows.flatMap((r) => (r && typeof r === 'object' && !Array.isArray(r) ? Object.keys(r) : [])))].map((name) => ({ name, title: name, kind: 'text' }));
  const used = usage(shown);
  return (
    <div className="table-wrap">
      <table className="t stacked" aria-label={label}>
        <thead>
          <tr>
            {shown.map((c) => (
              <th key={c.name} scope="col" className={numeric(c) ? 'num' : undefined}>
                {columnTitle(c, tl)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => {
            const r = row && typeof row === 'object' && !Array.isArray(row) ? row : {};
            return (
              <tr key={i}>
                {shown.map((c, j) => (
                  <td key={c.name} data-label={columnTitle(c, tl)} className={[numeric(c) ? 'num' : '', j === 0 ? 'first' : '', isMissing(r[c.name]) ? 'void' : ''].join(' ').trim() || undefined}>
                    <div className="cell">
                    <Cell column={c} value={r[c.name]} />
                    {used && c.name === used.used && typeof r[used.used] === 'number' && typeof r[used.size] === 'number' && (r[used.size] as number) > 0 && (
                      <UsageBar share={(r[used.used] as number) / (r[used.size] as number)} />
                    )}
                    </div>
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function columnTitle(c: Attribute, tl: (t: Text) => string): string {
  return tl(c.title) || c.name;
}

function numeric(c: Attribute): boolean {
  return c.kind === 'integer' || c.kind === 'decimal' || /_(bytes|mbps)$/.test(c.name);
}

function usage(columns: Attribute[]): { used: string; size: string } | null {
  const used = columns.find((c) => c.name === 'used_bytes');
  const size = columns.find((c) => c.name === 'size_bytes');
  return used && size ? { used: used.name, size: size.name } : null;
}

function UsageBar({ share }: { share: number }) {
  const tone = share >= 0.95 ? 'bad' : share >= 0.85 ? 'warn' : 'ok';
  return (
    <span className={`bar st-${tone}`} style={{ width: 90, marginLeft: 'auto', marginTop: 2 }} title={`${Math.round(share * 100)}%`}>
      <i style={{ width: `${Math.min(100, share * 100)}%` }} />
    </span>
  );
}

function Cell({ column, value }: { column: Attribute; value: Json | undefined }) {
  const { t, locale } = useI18n();
  if (isMissing(value)) return null;
  if (typeof value === 'boolean') return value ? t('value.yes') : t('value.no');
  if (typeof value === 'number') {
    const unit = column.unit ?? (/_bytes$/.test(column.name) ? 'bytes' : /_mbps$/.test(column.name) ? 'Mbit/s' : null);
    return <span className="nowrap">{unit || !Number.isInteger(value) ? quantity(value, unit, locale) : value}</span>;
  }
  if (column.kind === 'timestamp') return <Time at={String(value)} />;
  if (Array.isArray(value))
    return (
      <>
        {value.map((v, i) => (
          <div key={i} style={{ overflowWrap: 'anywhere' }}>
            {plain(v)}
          </div>
        ))}
      </>
    );
  return <span style={{ overflowWrap: 'anywhere' }}>{plain(value)}</span>;
}
