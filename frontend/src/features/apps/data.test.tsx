import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { App } from 'antd';
import { expect, it } from 'vitest';
import type { Plugin } from '../../api/types';
import { host, Refusal, show } from '../../test/page';
import { Data } from './Data';

const plugin = { id: 'demo', name: 'Demo', version: '1.0.0' } as Plugin;
const page = (
  <App>
    <Data plugin={plugin} />
  </App>
);
const report = (dry_run: boolean) => ({
  plugin: 'demo',
  dry_run,
  version: '0.9.0',
  installed_version: '1.0.0',
  exported_at: '2026-01-01T00:00:00Z',
  collections: [
    { name: 'notes', records: 7, replaces: 3 },
    { name: '~keyvalue', records: 1, replaces: 0 },
  ],
  records: 8,
  replaces: 3,
  settings: ['url'],
  warnings: ['the data come from an older version'],
});

it('a file is looked at first, and takes the place of the data only after a confirmation', async () => {
  const asked = host({ 'POST /plugins/demo/data': (url) => report(url.searchParams.get('dry_run') === 'true') });
  show(page);
  await userEvent.upload(await screen.findByLabelText('A file of exported data'), new File(['{}\n'], 'demo.jsonl'));
  await screen.findByText('the data come from an older version');
  expect(screen.getByText('Keys and values')).toBeTruthy();
  expect(asked.map((x) => x.url.search)).toEqual(['?dry_run=true&settings=false']);
  await userEvent.click(screen.getByRole('checkbox', { name: 'Also take the settings of the file' }));
  await waitFor(() => expect(asked.at(-1)!.url.search).toBe('?dry_run=true&settings=true'));
  await userEvent.click(await screen.findByRole('button', { name: 'Replace its data' }));
  await screen.findByText('3 records that it has now are gone for good, 8 of the file take their place.');
  expect(asked).toHaveLength(2);
  await userEvent.click(screen.getAllByRole('button', { name: 'Replace its data' }).at(-1)!);
  await screen.findByText('Its data are replaced: 8 records');
  expect(asked.at(-1)!.url.search).toBe('?dry_run=false&settings=true');
  expect(asked.at(-1)!.body).toBeInstanceOf(Blob);
});

it('what is wrong with a file is said, and nothing can be replaced', async () => {
  host({ 'POST /plugins/demo/data': () => new Refusal(422, 'line 2 is no JSON') });
  show(page);
  await userEvent.upload(await screen.findByLabelText('A file of exported data'), new File(['x'], 'x'));
  await screen.findByText('line 2 is no JSON');
  expect(screen.queryByRole('button', { name: 'Replace its data' })).toBeNull();
});

it('an export is a download, with the settings when they are wanted', async () => {
  show(page);
  const link = await screen.findByRole('link', { name: 'Export its data' });
  expect(link.getAttribute('href')).toBe('/api/v1/plugins/demo/data');
  await userEvent.click(screen.getByRole('checkbox', { name: 'With its settings, but for those that are secret' }));
  expect(link.getAttribute('href')).toBe('/api/v1/plugins/demo/data?settings=true');
});
