import { Button, Drawer, Form, Input, Select, Space, Switch } from 'antd';
import { useQueryClient } from '@tanstack/react-query';
import { FileUp } from 'lucide-react';
import { useRef, useState } from 'react';
import { api } from '../../api/endpoints';
import type { BulkAnswer, Model } from '../../api/types';
import { Icon, Note, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { AGENTS_OWN } from './InstanceForm';
import { Report } from './Report';
import { single } from './rules';

const MAX_FILE_MIB = 16;

/** The attributes by which rows are recognised, unless somebody says otherwise: none that only an agent can know. */
export function usualKey(model: Pick<Model, 'unique' | 'display'>): string[] {
  return model.unique?.find((key) => key.length > 0 && !key.some((name) => AGENTS_OWN.has(name))) ?? [model.display];
}

/** Whether importing would do anything, after what the dry run said. */
export function importable(checked: BulkAnswer, all: boolean): boolean {
  return checked.created + checked.updated > 0 && !(all && checked.failed > 0);
}

/** A file as it was when it was chosen: what was checked is what is imported, whatever happens to it on disk. */
interface Chosen {
  name: string;
  content: Blob;
}

interface Ask {
  dry_run: boolean;
  why?: string;
}

export function ImportDrawer({ model, open, onClose }: { model: Model; open: boolean; onClose: () => void }) {
  const { t, tl } = useI18n();
  return (
    <Drawer open={open} onClose={onClose} size={Math.min(760, window.innerWidth)} title={t('import.title', { model: tl(model.title) })} destroyOnHidden>
      <ImportForm model={model} onClose={onClose} />
    </Drawer>
  );
}

function ImportForm({ model, onClose }: { model: Model; onClose: () => void }) {
  const { t, tl } = useI18n();
  const client = useQueryClient();
  const picker = useRef<HTMLInputElement>(null);
  const [file, setFile] = useState<Chosen | null>(null);
  const [key, setKey] = useState(() => usualKey(model));
  const [all, setAll] = useState(false);
  const [why, setWhy] = useState('');
  const [checked, setChecked] = useState<BulkAnswer | null>(null);
  const [result, setResult] = useState<BulkAnswer | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const send = useAct<Ask, BulkAnswer>({
    run: (o) => (file ? api.cmdb.import(model.name, file.content, { key, all, ...o }) : Promise.reject(new Error(t('form.required')))),
    quiet: true,
    then: (answer, o) => (o.dry_run ? setChecked(answer) : setResult(answer)),
  });
  const busy = send.isPending;
  // A check holds for the file and the choices that it was made with.
  const anew = () => {
    setChecked(null);
    setResult(null);
    setProblem(null);
  };
  const ask = (o: Ask) => {
    setProblem(null);
    send.mutate(o, {
      onError: (e) => {
        setProblem(e);
        // Rows are written in groups: some may be in, and the check no longer holds.
        if (!o.dry_run) setChecked(null);
      },
      onSettled: () => {
        if (!o.dry_run) void client.invalidateQueries({ queryKey: ['cmdb'] });
      },
    });
  };
  const choose = async (f: File) => {
    anew();
    setFile(null);
    if (f.size > MAX_FILE_MIB * 1024 * 1024) return setProblem(new Error(t('import.tooLarge', { n: MAX_FILE_MIB })));
    try {
      setFile({ name: f.name, content: new Blob([await f.arrayBuffer()], { type: 'text/csv' }) });
    } catch (e) {
      setProblem(e);
    }
  };
  const ready = checked !== null && importable(checked, all);
  const report = result ?? checked;
  return (
    <div className="stack">
      <p className="dim">{t('import.lead')}</p>
      <Form layout="vertical" component="div" disabled={busy || result !== null}>
        <Form.Item label={t('import.file')} htmlFor="import-file">
          <div className="row wrap">
            <input
              ref={picker}
              id="import-file"
              className="vh"
              tabIndex={-1}
              type="file"
              accept=".csv,.tsv,.txt,text/csv"
              onChange={(e) => {
                const f = e.target.files?.[0];
                // So that the same file, mended, can be chosen again.
                e.target.value = '';
                if (f) void choose(f);
              }}
            />
            <Button icon={<Icon of={FileUp} />} onClick={() => picker.current?.click()}>
              {t('import.choose')}
            </Button>
            <span className={file ? undefined : 'dim'} style={{ overflowWrap: 'anywhere' }} aria-live="polite">
              {file ? file.name : t('import.noFile')}
            </span>
          </div>
        </Form.Item>
        <Form.Item label={t('import.key')} htmlFor="import-key" extra={t('import.keyHint')}>
          <Select
            id="import-key"
            mode="multiple"
            optionFilterProp="label"
            value={key}
            options={model.attributes.filter((a) => single(a.kind)).map((a) => ({ value: a.name, label: tl(a.title) || a.name }))}
            onChange={(k: string[]) => {
              setKey(k);
              anew();
            }}
          />
        </Form.Item>
        <Form.Item label={t('import.all')} htmlFor="import-all" extra={all ? t('import.allOn') : t('import.allOff')}>
          <Switch
            id="import-all"
            checked={all}
            onChange={(v) => {
              setAll(v);
              anew();
            }}
          />
        </Form.Item>
      </Form>
      {problem ? <ProblemNote error={problem} /> : null}
      {result ? (
        result.kept ? (
          <Note tone={result.failed > 0 ? 'warn' : 'ok'} title={t('import.done')}>
            {result.failed > 0 ? t('import.doneSome', { n: result.failed }) : null}
          </Note>
        ) : (
          <Note tone="bad" title={t('import.nothingKept')} />
        )
      ) : (
        checked && <CheckedNote checked={checked} all={all} />
      )}
      {report && <Report answer={report} model={model} done={result !== null} file />}
      {ready && !result && (
        <label>
          <span className="dim">{t('cmdb.why')}</span>
          <Input value={why} maxLength={500} disabled={busy} placeholder={t('cmdb.whyHint')} onChange={(e) => setWhy(e.target.value)} />
        </label>
      )}
      <Space wrap>
        {result ? (
          <>
            <Button type="primary" onClick={onClose}>
              {t('action.close')}
            </Button>
            <Button
              onClick={() => {
                anew();
                setFile(null);
                setWhy('');
              }}
            >
              {t('import.another')}
            </Button>
          </>
        ) : (
          <>
            {ready && (
              <Button type="primary" loading={busy} onClick={() => ask({ dry_run: false, ...(why.trim() ? { why: why.trim() } : {}) })}>
                {t('import.do', { n: checked.created + checked.updated })}
              </Button>
            )}
            <Button type={ready ? 'default' : 'primary'} disabled={!file || busy} loading={busy && !ready} onClick={() => ask({ dry_run: true })}>
              {checked ? t('import.checkAgain') : t('import.check')}
            </Button>
          </>
        )}
      </Space>
    </div>
  );
}

function CheckedNote({ checked, all }: { checked: BulkAnswer; all: boolean }) {
  const { t } = useI18n();
  if (checked.failed > 0) return <Note tone="warn" title={t('import.hasProblems', { n: checked.failed })}>{all ? t('import.problemsAll') : t('import.problemsSome')}</Note>;
  if (!importable(checked, all)) return <Note tone="info" title={t('import.noChange')} />;
  return <Note tone="ok" title={t('import.fine')} />;
}
