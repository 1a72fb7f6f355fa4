import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { CatalogEntry, CatalogVersion } from '../../api/types';
import { host, Refusal, show } from '../../test/page';
import Catalog from './Catalog';
import Entry from './Entry';

const version = (v: string, more: Partial<CatalogVersion> = {}): CatalogVersion => ({ version: v, digest: `sha256:${v}`, size: 2048, api: '^0.1', prerelease: false, state: 'trusted', problem: null, catalogs: ['folder'], ...more });
const entry = (more: Partial<CatalogEntry> = {}): CatalogEntry => ({
  id: 'demo',
  file: 'demo.plenum',
  name: 'Demo',
  description: 'Shows.',
  version: '1.1.0',
  publisher: 'Acme',
  license: 'MIT',
  categories: ['operations'],
  icon_url: null,
  signature: { state: 'trusted', key_id: 'K', publisher: 'Acme' },
  permissions: [],
  api: '^0.1',
  size: 2048,
  digest: 'sha256:1',
  problem: null,
  installed: null,
  upgrade: false,
  catalogs: ['folder'],
  requires: { base: '^2' },
  changelog: '## 1.1.0\n\nFaster.',
  screenshots: ['/api/v1/catalog/demo/screenshots/0?version=1.1.0', '/api/v1/catalog/demo/screenshots/1?version=1.1.0'],
  versions: [version('2.0.0-rc.1', { prerelease: true, problem: 'it needs API ^9' }), version('1.1.0'), version('1.0.0')],
  ...more,
});
const page = (items: unknown[]) => ({ items, next_cursor: null, total: items.length });
const manage = { permissions: ['plugins.manage'] };

describe('the catalog', () => {
  const rest = { 'GET /catalog-categories': () => page([{ name: 'operations', plugins: 3 }]) };
  it('asks the host for what is searched for, and says which catalog is not well', async () => {
    const asked = host({ ...rest, 'GET /catalog': (url) => page(url.searchParams.get('search') ? [] : [entry()]), 'GET /catalogs': () => page([{ name: 'far', source: 'https://far', problem: 'it did not answer', fetched_at: null }]) });
    show(<Catalog />, manage);
    await screen.findByRole('link', { name: 'Demo' });
    await screen.findByText('it did not answer');
    await userEvent.type(screen.getByRole('textbox', { name: 'Search' }), 'x');
    await screen.findByText('Nothing matches');
    expect(asked.some((x) => x.url.searchParams.get('search') === 'x')).toBe(true);
    await userEvent.click(screen.getByRole('button', { name: 'Clear search and filter' }));
    await screen.findByRole('link', { name: 'Demo' });
  });
});

describe('an app of the catalog', () => {
  const at = { ...manage, path: '/catalog/demo', route: '/catalog/$id' };
  it('shows what changed, its pictures, what it needs and all its versions', async () => {
    const asked = host({ 'GET /catalog/demo': (url) => entry({ version: url.searchParams.get('version') ?? '1.1.0' }) });
    show(<Entry />, at);
    await screen.findByText('Faster.');
    expect(screen.getByRole('link', { name: 'base' }).getAttribute('href')).toBe('/catalog/base');
    expect(screen.getAllByText('Pre-release')).toHaveLength(1);
    expect(screen.getByTitle('it needs API ^9')).toBeTruthy();
    await userEvent.click(screen.getByRole('button', { name: 'Show version 1.0.0' }));
    await waitFor(() => expect(asked.at(-1)!.url.searchParams.get('version')).toBe('1.0.0'));
    await screen.findByRole('button', { name: 'Show version 1.1.0' });
    await userEvent.click(screen.getByRole('img', { name: 'Demo, picture 1' }));
    await userEvent.click(await screen.findByRole('button', { name: 'Next' }));
    expect(screen.getAllByRole('img', { name: 'Demo, picture 2' })).toHaveLength(2);
  });
  it('that was installed and whose state is not known says so, and can be asked again', async () => {
    let known = false;
    host({
      'GET /catalog/demo': () => entry(),
      'POST /plugins': () => ({ id: 'demo' }),
      'GET /plugins/demo': () => (known ? { id: 'demo', status: 'active', pages: [{ id: 'home' }] } : new Refusal(503, 'it is busy')),
    });
    show(<Entry />, at);
    await userEvent.click(await screen.findByRole('button', { name: 'Install' }));
    await userEvent.click(await screen.findByRole('button', { name: 'Grant and install' }));
    await screen.findByText('It is installed, but its state is not known');
    await screen.findByText('it is busy');
    known = true;
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    await screen.findByText('Demo is ready');
    expect((screen.getByRole('button', { name: 'Open' }) as HTMLButtonElement).disabled).toBe(false);
  });
});
