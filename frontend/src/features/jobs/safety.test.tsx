import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { Execution, Finding } from '../../api/types';
import { host, Refusal, show } from '../../test/page';
import { ApprovalNote, JobsToApprove } from './ApprovalNote';
import { ScriptFindings } from './Findings';
import Rules from './Rules';
import ToApprove from './ToApprove';

const finding: Finding = {
  rule: 'power',
  title: 'Shuts down or restarts the machine',
  level: 'approve',
  line: 3,
  column: 5,
  excerpt: 'sudo reboot',
  why: 'Its services stop.',
  advice: 'Choose batches.',
  through: ['sudo', 'sh -c'],
};
const execution = (asker: string) =>
  ({
    id: 'e1',
    name: 'Restart',
    status: 'waiting_approval',
    created_at: '2026-01-01T00:00:00Z',
    created_by: 'bob',
    summary: { total: 12 },
    findings: [finding],
    approval: { digest: 'abc123', since: '2026-01-01T00:00:00Z', until: '2026-01-02T00:00:00Z', approver: 'operator', asker, decision: null, decided_by: null, decided_at: null, note: null },
  }) as unknown as Execution;

describe('rules for scripts', () => {
  it('says what they find as one types, and leads to the line', async () => {
    const asked = host({ 'POST /jobs/scripts/check': () => ({ level: 'approve', findings: [finding] }) });
    const lines: number[] = [];
    show(<ScriptFindings script={{ language: 'bash', content: 'sudo reboot' }} onGo={(l) => lines.push(l)} />, { permissions: ['jobs.run'] });
    expect(await screen.findByText('Another person has to approve it')).toBeTruthy();
    expect(screen.getByText('Seen through: sudo → sh -c')).toBeTruthy();
    await userEvent.click(screen.getByRole('button', { name: 'line 3, column 5' }));
    expect(lines).toEqual([3]);
    expect(JSON.parse(String(asked[0]?.body))).toEqual({ script: { language: 'bash', content: 'sudo reboot' } });
  });

  it('are listed with what an administrator changed', async () => {
    const rule = { id: 'power', built_in: true, title: 'Shuts down', level: 'block', enabled: true, languages: [], pattern: { kind: 'built_in' }, why: 'w', advice: 'a', roles: [], targets: 'env == "prod"', approver: 'operator', version: 2, updated_at: '2026-01-01T00:00:00Z', updated_by: 'ada' };
    const asked = host({ 'GET /jobs/rules': () => ({ items: [rule, { ...rule, id: 'own', built_in: false, title: 'No telnet', enabled: false }], next_cursor: null, total: 2 }), 'PUT /jobs/rules/power': () => rule });
    show(<Rules />, { permissions: ['jobs.run', 'jobs.manage'] });
    expect(await screen.findByText('Shuts down')).toBeTruthy();
    expect(screen.getByText('Blocked')).toBeTruthy();
    expect(screen.getByText('Off')).toBeTruthy();
    await userEvent.click(screen.getByRole('button', { name: 'Edit Shuts down' }));
    await userEvent.click(await screen.findByRole('button', { name: 'Save' }));
    await waitFor(() => expect(asked.some((a) => a.method === 'PUT')).toBe(true));
    const body = JSON.parse(String(asked.find((a) => a.method === 'PUT')?.body)) as Record<string, unknown>;
    expect(body).toMatchObject({ level: 'block', enabled: true, targets: 'env == "prod"', version: 2 });
    expect(body).not.toHaveProperty('pattern');
  });
});

describe('another person’s approval', () => {
  it('is not for the one who asked', async () => {
    host({});
    show(<ApprovalNote execution={execution('u')} />, { permissions: ['jobs.run'] });
    expect(await screen.findByText(/You asked for it yourself/)).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Approve' })).toBeNull();
  });

  it('sends what was looked at, and shows why it was refused', async () => {
    const asked = host({ 'POST /jobs/executions/e1/approve': () => new Refusal(409, 'what would run is not what was looked at') });
    show(<ApprovalNote execution={execution('other')} />, { permissions: ['jobs.run'] });
    await userEvent.click(await screen.findByRole('button', { name: 'Approve' }));
    const dialog = await screen.findByRole('dialog');
    expect(dialog.textContent).toContain('Run “Restart” on 12 targets?');
    await userEvent.click(screen.getAllByRole('button', { name: 'Approve' }).at(-1)!);
    expect(await screen.findByText('what would run is not what was looked at')).toBeTruthy();
    expect(JSON.parse(String(asked.at(-1)?.body))).toEqual({ digest: 'abc123' });
  });

  it('is found where people look for what waits for them', async () => {
    host({ 'GET /jobs/approvals': () => ({ items: [execution('other')], next_cursor: null, total: 1 }) });
    show(
      <>
        <JobsToApprove />
        <ToApprove />
      </>,
      { permissions: ['jobs.run'], locale: 'zh' },
    );
    expect(await screen.findByText('您可以审批的任务：1')).toBeTruthy();
    expect(await screen.findByText('Restart')).toBeTruthy();
  });
});
