import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { CircleCheck } from 'lucide-react';
import { api } from '../../api/endpoints';
import type { PluginTrap } from '../../api/types';
import { Empty, Loading, Panel, ProblemNote, Time } from '../../components/base';
import { useI18n } from '../../i18n';
import { LogLines } from './AppLogs';

/** The last calls that ended in a trap or at a limit: each with where it was, what it was given and what it had logged. */
export function Failures({ id }: { id: string }) {
  const { t } = useI18n();
  const traps = useQuery({ queryKey: ['plugins', 'traps', id], queryFn: () => api.plugins.traps(id), refetchInterval: 10_000 });
  if (traps.error) return <ProblemNote error={traps.error} retry={() => void traps.refetch()} />;
  if (!traps.data) return <Loading />;
  if (traps.data.items.length === 0) {
    return (
      <Panel flush>
        <Empty icon={CircleCheck} title={t('failures.none')} text={t('failures.noneText')} />
      </Panel>
    );
  }
  return (
    <div className="stack">
      <p className="dim">{t('failures.lead')}</p>
      {traps.data.items.map((x, i) => (
        <Failure key={x.call + x.at} id={id} trap={x} open={i === 0} />
      ))}
    </div>
  );
}

function Failure({ id, trap: x, open }: { id: string; trap: PluginTrap; open: boolean }) {
  const { t } = useI18n();
  return (
    <details className="panel failure" open={open}>
      <summary>
        <code>{x.what}</code> <span className="chip bad">{x.code}</span>
        <span className="dim">{x.version}</span>
        <Time at={x.at} />
      </summary>
      <div className="body stack">
        <p style={{ overflowWrap: 'anywhere' }}>{x.message}</p>
        {x.input !== null && (
          <section>
            <h2 className="sub-title">{t('failures.input')}</h2>
            <pre className="code wrap" tabIndex={0}>
              {x.input}
            </pre>
          </section>
        )}
        <section>
          <h2 className="sub-title">{t('failures.log')}</h2>
          {x.log.length > 0 ? <LogLines items={x.log} label={t('failures.log')} /> : <p className="dim">{t('failures.noLog')}</p>}
        </section>
        {x.backtrace && (
          <section>
            <h2 className="sub-title">{t('failures.backtrace')}</h2>
            <pre className="code" tabIndex={0}>
              {x.backtrace}
            </pre>
          </section>
        )}
        <div>
          <Link to={`/apps/${id}/logs`} search={{ q: x.call } as never}>
            {t('failures.inLog')}
          </Link>
        </div>
      </div>
    </details>
  );
}
