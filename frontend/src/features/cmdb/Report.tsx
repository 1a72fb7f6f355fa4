import { Link } from '@tanstack/react-router';
import type { BulkAnswer, Model, RowAnswer, RowOutcome } from '../../api/types';
import { useI18n } from '../../i18n';
import { rowProblem } from './rowProblem';

/** Rows that are drawn; a host reports 1,000 at the most. */
const MAX_SHOWN = 200;

/** Figures, and what is wrong by row. `file` when rows are lines of one. */
export function Report({ answer, model, done, file, figures = ['created', 'updated', 'unchanged', 'failed'] }: { answer: BulkAnswer; model: Model; done: boolean; file?: boolean; figures?: RowOutcome[] }) {
  const { t, tl } = useI18n();
  const failed = answer.rows.filter((r) => r.outcome === 'failed');
  const shown = failed.slice(0, MAX_SHOWN);
  // The host names attributes where it checks values, and columns of the file where it reads cells.
  const of = (r: RowAnswer) => model.attributes.find((a) => a.name === r.attribute);
  const attribute = (r: RowAnswer) => tl(of(r)?.title) || r.attribute || '';
  return (
    <>
      <div className="stats" aria-live="polite">
        {figures.map((what) => (
          <div key={what}>
            <span className="v">{answer[what]}</span>
            <span className="k">{t(done ? `import.${what}` : `import.would.${what}`)}</span>
          </div>
        ))}
      </div>
      {shown.length > 0 && (
        <section className="panel" aria-label={t('import.problems')}>
          <div className="table-wrap">
            <table className="t stacked">
              <thead>
                <tr>
                  <th scope="col">{file ? t('import.row') : t('cmdb.instance')}</th>
                  <th scope="col">{t('cmdb.attribute')}</th>
                  <th scope="col">{t('import.problem')}</th>
                </tr>
              </thead>
              <tbody>
                {shown.map((r) => (
                  <tr key={r.row}>
                    <td className="first">
                      {file && <span className="nowrap">{t('import.line', { n: r.row })} </span>}
                      {r.id && (
                        <Link to={`/cmdb/${model.name}/${r.id}`} target="_blank">
                          {r.label || r.id}
                        </Link>
                      )}
                    </td>
                    <td data-label={t('cmdb.attribute')} className={r.attribute ? undefined : 'void'}>
                      {attribute(r)}
                    </td>
                    <td data-label={t('import.problem')} style={{ overflowWrap: 'anywhere' }}>
                      {rowProblem(r, of(r), t, attribute(r))}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {answer.failed > shown.length && <div className="list-foot">{t('import.firstProblems', { n: shown.length, total: answer.failed })}</div>}
        </section>
      )}
    </>
  );
}
