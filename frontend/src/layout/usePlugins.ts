import { useQuery } from '@tanstack/react-query';
import { api } from '../api/endpoints';
import { useCan } from '../session';

/** What is installed: the navigation, Home and the palette share it. */
export function usePlugins() {
  const can = useCan();
  return useQuery({ queryKey: ['plugins', 'list'], queryFn: api.plugins.list, enabled: can('plugins.read') });
}
