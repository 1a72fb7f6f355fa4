import { Button } from 'antd';
import { Link } from '@tanstack/react-router';
import { Compass } from 'lucide-react';
import { Empty, ProblemNote } from '../components/base';
import { useI18n } from '../i18n';

export function NotFoundPage() {
  const { t } = useI18n();
  return (
    <>
      <h1 className="vh">{t('error.notFound')}</h1>
      <Empty icon={Compass} title={t('error.notFound')} text={t('error.notFoundText')}>
        <Link to="/">{t('error.home')}</Link>
      </Empty>
    </>
  );
}

/** A page that broke. After an upgrade of the host the old page's parts are gone: loading again is then the cure. */
export function ErrorPage({ error, reset }: { error: unknown; reset?: () => void }) {
  const { t } = useI18n();
  const stale = error instanceof Error && /dynamically imported module|Importing a module script failed/i.test(error.message);
  return (
    <div className="page narrow">
      {stale ? (
        <Empty title={t('error.newVersion')} text={t('error.newVersionText')}>
          <Button type="primary" onClick={() => window.location.reload()}>
            {t('error.reload')}
          </Button>
        </Empty>
      ) : (
        <ProblemNote error={error} retry={reset} />
      )}
    </div>
  );
}
