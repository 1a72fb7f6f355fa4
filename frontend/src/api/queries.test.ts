import { onlineManager } from '@tanstack/react-query';
import { afterEach, expect, test } from 'vitest';
import { makeQueries } from './queries';

afterEach(() => onlineManager.setOnline(true));

test('a browser that believes to be offline still asks the host, and still changes things', async () => {
  onlineManager.setOnline(false);
  const client = makeQueries();
  await expect(client.fetchQuery({ queryKey: ['x'], queryFn: () => Promise.resolve('read') })).resolves.toBe('read');
  const change = client.getMutationCache().build(client, { mutationFn: () => Promise.resolve('changed') });
  await expect(change.execute(undefined)).resolves.toBe('changed');
});
