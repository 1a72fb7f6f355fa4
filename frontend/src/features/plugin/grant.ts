import type { Plugin } from '../../api/types';

/** The scope of a granted permission, or null when it was not granted. */
export function grantedScope(plugin: Pick<Plugin, 'granted'>, permission: string): Record<string, string[]> | null {
  return Object.hasOwn(plugin.granted ?? {}, permission) ? (plugin.granted[permission] ?? {}) : null;
}

/** Event types that a plugin may read: `*` without a scope, none without the grant. */
export function grantedTypes(plugin: Pick<Plugin, 'granted'>): string[] | null {
  const scope = grantedScope(plugin, 'events.read');
  return scope === null ? null : (scope.types ?? ['*']);
}
