import type { Plugin } from '../../api/types';

/** The scope of a granted permission, or null when it was not granted. */
export function grantedScope(plugin: Pick<Plugin, 'granted'>, permission: string): Record<string, string[]> | null {
  const g: unknown = plugin.granted;
  if (Array.isArray(g)) {
    for (const item of g as unknown[]) {
      if (item === permission) return {};
      if (typeof item === 'object' && item !== null && (item as { name?: unknown }).name === permission) return ((item as { scope?: Record<string, string[]> | null }).scope) ?? {};
    }
    return null;
  }
  if (typeof g === 'object' && g !== null) return (g as Record<string, Record<string, string[]> | null>)[permission] === undefined ? null : ((g as Record<string, Record<string, string[]> | null>)[permission] ?? {});
  return null;
}

/** Event types that a plugin may read: `*` without a scope, none without the grant. */
export function grantedTypes(plugin: Pick<Plugin, 'granted'>): string[] | null {
  const scope = grantedScope(plugin, 'events.read');
  return scope === null ? null : (scope.types ?? ['*']);
}
