import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { changes } from '../../api/changes';
import { Panel, ProblemNote, Time, Who } from '../../components/base';
import { useI18n } from '../../i18n';
import { ChangeStatus } from './parts';

/** What was asked to be done to a record; nothing when nothing was. */
export function RequestsPanel({ id }: { id: string }) {
  const { t } = useI18n();
  const found = useQuery({ queryKey: ['changes', 'record', id], queryFn: () => changes.list({ record: id, limit: 10 }) });
  if (found.error) return <ProblemNote error={found.error} />;
  const items = found.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Panel title={t('changes.title')}>
      <ul className="plain">
        {items.map((c) => (
          <li key={c.id}>
            <ChangeStatus state={c.state} /> <Link to={`/changes/${c.id}`}>{c.title}</Link>{' '}
            <span className="dim">
              <Who actor={c.requested_by} /> <Time at={c.created_at} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** That changes wait for the reader's word, where the reader looks for what waits. */
export function WaitingChanges() {
  const { t } = useI18n();
  const found = useQuery({ queryKey: ['changes', 'mine'], queryFn: () => changes.list({ mine: 'true', limit: 50 }) });
  const n = found.data?.items.length ?? 0;
  if (n === 0) return null;
  return (
    <p>
      <Link to="/changes" search={{ scope: 'mine' } as never}>
        {t('changes.waiting', { n })}
      </Link>
    </p>
  );
}
