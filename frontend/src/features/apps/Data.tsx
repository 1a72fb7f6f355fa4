import { App, Button, Checkbox } from 'antd';
import { Download, FileUp } from 'lucide-react';
import { useRef, useState } from 'react';
import { api } from '../../api/endpoints';
import type { DataImport, Plugin } from '../../api/types';
import { Icon, Note, Panel, ProblemNote, Time } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';

/** An app's data out into a file, and in again. */
export function Data({ plugin: p }: { plugin: Plugin }) {
  return (
    <div className="stack">
      <Export plugin={p} />
      <Import plugin={p} />
    </div>
  );
}

function Export({ plugin: p }: { plugin: Plugin }) {
  const { t } = useI18n();
  const [settings, setSettings] = useState(false);
  return (
    <Panel title={t('data.export')}>
      <div className="stack">
        <p style={{ maxWidth: '76ch' }}>{t('data.exportText')}</p>
        <Checkbox checked={settings} onChange={(e) => setSettings(e.target.checked)}>
          {t('data.withSettings')}
        </Checkbox>
        <div>
          {/* The browser fetches it itself: it may be larger than a page should hold. */}
          <Button icon={<Icon of={Download} />} href={api.plugins.dataUrl(p.id, settings)} download>
            {t('data.exportDo')}
          </Button>
        </div>
      </div>
    </Panel>
  );
}

function Import({ plugin: p }: { plugin: Plugin }) {
  const { t, tl } = useI18n();
  const { modal } = App.useApp();
  const picker = useRef<HTMLInputElement>(null);
  const [file, setFile] = useState<File | null>(null);
  const [settings, setSettings] = useState(false);
  const [checked, setChecked] = useState<DataImport | null>(null);
  const [done, setDone] = useState<DataImport | null>(null);
  const check = useAct<{ file: File; settings: boolean }, DataImport>({
    run: (o) => api.plugins.importData(p.id, o.file, { dry_run: true, settings: o.settings }),
    quiet: true,
    then: setChecked,
  });
  const put = useAct<File, DataImport>({
    run: (f) => api.plugins.importData(p.id, f, { dry_run: false, settings }),
    quiet: true,
    stale: [['plugins'], ['plugin-page']],
    then: (r) => {
      setDone(r);
      setChecked(null);
    },
  });
  const begin = (f: File, withSettings: boolean) => {
    setChecked(null);
    setDone(null);
    put.reset();
    check.mutate({ file: f, settings: withSettings });
  };
  const report = done ?? checked;
  return (
    <Panel title={t('data.import')}>
      <div className="stack">
        <p style={{ maxWidth: '76ch' }}>{t('data.importText')}</p>
        <div className="row wrap">
          <input
            ref={picker}
            className="vh"
            type="file"
            tabIndex={-1}
            aria-label={t('data.file')}
            onChange={(e) => {
              const f = e.target.files?.[0];
              // So that the same file can be chosen again.
              e.target.value = '';
              if (!f) return;
              setFile(f);
              begin(f, settings);
            }}
          />
          <Button icon={<Icon of={FileUp} />} loading={check.isPending} disabled={put.isPending} onClick={() => picker.current?.click()}>
            {t('import.choose')}
          </Button>
          <span className={file ? undefined : 'dim'} style={{ overflowWrap: 'anywhere' }} aria-live="polite">
            {file ? file.name : t('import.noFile')}
          </span>
        </div>
        <Checkbox
          checked={settings}
          disabled={check.isPending || put.isPending}
          onChange={(e) => {
            setSettings(e.target.checked);
            if (file) begin(file, e.target.checked);
          }}
        >
          {t('data.takeSettings')}
        </Checkbox>
        <ProblemNote error={check.error ?? put.error} />
        {done && <Note tone="ok" title={t('data.done', { n: done.records })} />}
        {checked && (
          <Note tone="info" title={t('data.fine')}>
            {t('data.of', { version: checked.version })} <Time at={checked.exported_at} both />
          </Note>
        )}
        {report && <Report report={report} />}
        {checked && file && (
          <div>
            <Button
              type="primary"
              danger
              loading={put.isPending}
              onClick={() =>
                modal.confirm({
                  title: t('data.replaceTitle', { name: tl(p.name) }),
                  content: t('data.replaceText', { replaces: checked.replaces, records: checked.records }),
                  okText: t('data.replace'),
                  okButtonProps: { danger: true },
                  onOk: () => put.mutateAsync(file).catch(() => {}),
                })
              }
            >
              {t('data.replace')}
            </Button>
          </div>
        )}
      </div>
    </Panel>
  );
}

/** What goes and what comes, by collection. */
function Report({ report: r }: { report: DataImport }) {
  const { t } = useI18n();
  return (
    <>
      {r.warnings.map((w) => (
        <Note key={w} tone="warn">
          <span lang="en">{w}</span>
        </Note>
      ))}
      <div className="table-wrap">
        <table className="t stacked">
          <thead>
            <tr>
              <th scope="col">{t('data.collection')}</th>
              <th scope="col">{t('data.records')}</th>
              <th scope="col">{t('data.replaces')}</th>
            </tr>
          </thead>
          <tbody>
            {r.collections.map((c) => (
              <tr key={c.name}>
                <td className="first" style={{ overflowWrap: 'anywhere' }}>
                  {c.name === '~keyvalue' ? t('data.keyvalue') : c.name}
                </td>
                <td data-label={t('data.records')}>{c.records}</td>
                <td data-label={t('data.replaces')}>{c.replaces}</td>
              </tr>
            ))}
            <tr>
              <td className="first">
                <strong>{t('data.all')}</strong>
              </td>
              <td data-label={t('data.records')}>
                <strong>{r.records}</strong>
              </td>
              <td data-label={t('data.replaces')}>
                <strong>{r.replaces}</strong>
              </td>
            </tr>
          </tbody>
        </table>
      </div>
      {r.settings.length > 0 && <p className="dim">{t('data.settings', { names: r.settings.join(', ') })}</p>}
    </>
  );
}
