import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { host, Refusal, show } from '../../test/page';
import Search from './Search';

const hit = (id: string, more: object = {}) => ({ id, model: 'rack', label: id.toUpperCase(), version: 1, attributes: {}, created_at: '', updated_at: '', matched: [{ attribute: 'label', title: {}, snippet: id.toUpperCase() }], ...more });
const models = { items: [{ name: 'rack', title: { en: 'Racks' }, attributes: [], display: 'name', group: 'x', builtin: false, version: 1 }] };
const answer = (more: object) => ({ items: [], counts: [], more: false, next_cursor: null, building: false, ...more });
const at = { path: '/search?q=db', route: '/search', permissions: ['cmdb.read'] };

describe('search over all records', () => {
  it('says where a record matched, counts by model and pages', async () => {
    const asked = host({
      'GET /cmdb/models': () => models,
      'GET /cmdb/search': (u) =>
        u.searchParams.get('cursor')
          ? answer({ items: [hit('b')], counts: [{ model: 'rack', count: 2 }] })
          : answer({
              items: [hit('a', { matched: [{ attribute: 'serial', title: { en: 'Serial' }, snippet: 'DB-7' }] })],
              counts: [{ model: 'rack', count: 2 }],
              next_cursor: '25',
              building: true,
            }),
    });
    show(<Search />, at);
    await screen.findByText('Serial: DB-7');
    expect(screen.getByRole('link', { name: 'A' }).getAttribute('href')).toBe('/cmdb/rack/a');
    expect(screen.getByText(/index is being built/)).toBeTruthy();
    await userEvent.click(screen.getByRole('button', { name: 'More results' }));
    await screen.findByRole('link', { name: 'B' });
    await userEvent.click(screen.getByRole('button', { name: 'Racks (2)' }));
    await waitFor(() => expect(asked.some((a) => a.url.searchParams.get('model') === 'rack')).toBe(true));
  });

  it('says that nothing was found, and what went wrong', async () => {
    host({ 'GET /cmdb/models': () => models, 'GET /cmdb/search': (u) => (u.searchParams.get('q') === 'db' ? answer({}) : new Refusal(400, 'a search has at most 200 characters')) });
    show(<Search />, at);
    await screen.findByText('Nothing matches all of these words');
    await userEvent.type(screen.getByRole('searchbox', { name: 'Search' }), 'x');
    await screen.findByText(/at most 200 characters/);
  });
});
