import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it } from 'vitest';
import { Bell } from '../../layout/Bell';
import { host, show } from '../../test/page';
import { Figures } from './Figures';
import { Traces } from './Traces';

it('a call shows its parts, and what failed', async () => {
  const span = { name: 'GET https://api.example.com', start_us: 100, duration_us: 900, error: 'refused' };
  host({
    'GET /plugins/demo/traces': () => ({
      items: [{ call: 'c1', version: '0.1.0', what: 'action go', at: '2026-01-01T00:00:00Z', duration_us: 2000, cpu_us: 300, error: 'no answer', spans: [span], more_spans: 3 }],
      next_cursor: null,
      total: 1,
    }),
  });
  show(<Traces id="demo" />);
  await screen.findByText('GET https://api.example.com');
  for (const text of ['action go', 'refused', 'no answer', '3 more parts were not kept.']) expect(screen.getByText(text)).toBeTruthy();
});

it('figures are listed, and nothing of an app without', async () => {
  host({
    'GET /plugins/demo/figures': () => ({
      items: [
        { name: 'seen', kind: 'counter', series: [{ labels: { of: 'a' }, value: 3, count: null }] },
        { name: 'took', kind: 'histogram', series: [{ labels: {}, value: 1, count: 4 }] },
      ],
      next_cursor: null,
      total: 2,
    }),
  });
  show(<Figures id="demo" />);
  await screen.findByText('seen');
  expect(screen.getByText('of=a')).toBeTruthy();
  expect(screen.getByText('4 values, 0.25 on average')).toBeTruthy();
});

it('the bell counts what is unread, and marks it', async () => {
  let unread = 1;
  const asked = host({
    'GET /notifications': () => ({
      items: [{ id: '7', plugin: 'tls-watch', level: 'warning', title: 'Two expire', body: 'web1', link: null, at: '2026-01-01T00:00:00Z', read_at: unread ? null : '2026-01-01T01:00:00Z' }],
      next_cursor: null,
      unread,
    }),
    'POST /notifications/read': () => {
      unread = 0;
      return undefined;
    },
  });
  show(<Bell />);
  await userEvent.click(await screen.findByRole('button', { name: 'Notifications, 1 unread' }));
  await screen.findByText('Two expire');
  await userEvent.click(screen.getByRole('button', { name: 'Mark all as read' }));
  await waitFor(() => expect(screen.getByRole('button', { name: 'Notifications, 0 unread', hidden: true })).toBeTruthy());
  expect(asked.some((x) => x.url.pathname.endsWith('/notifications/read'))).toBe(true);
});
