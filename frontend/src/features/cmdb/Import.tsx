import { Button, Checkbox, Drawer, Form, Input, Select, Upload } from 'antd';
import { Upload as UploadIcon } from 'lucide-react';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { BulkAnswer, Model } from '../../api/types';
import { Clip, Icon, Note, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { AGENTS_OWN } from './InstanceForm';

/** The attributes by which rows are recognised, unless somebody says otherwise: none that only an agent can know. */
export function usualKey(model: Model): string[] {
  return model.unique?.find((key) => !key.some((name) => AGENTS_OWN.has(name))) ?? [model.display];
}

interface Asked {
  key: string[];
  all: boolean;
  why?: string;
}

/** Instances from a CSV file: looked at first, then written. */
export function Import({ model, open, onClose }: { model: Model; open: boolean; onClose: () => void }) {
  const { t, tl } = useI18n();
  const [form] = Form.useForm<Asked>();
  const [file, setFile] = useState<File>();
  const [looked, setLooked] = useState<{ asked: Asked; answer: BulkAnswer }>();
  const send = (asked: Asked, dry: boolean) =>
    api.cmdb.importFile(model.name, file as File, { key: asked.key.join(','), all: asked.all || undefined, why: asked.why || undefined, dry_run: dry || undefined });
  const look = useAct<Asked, BulkAnswer>({ run: (asked) => send(asked, true), then: (answer, asked) => setLooked({ asked, answer }), quiet: true });
  const write = useAct<Asked, BulkAnswer>({
    run: (asked) => send(asked, false),
    stale: [['cmdb']],
    then: (answer, asked) => setLooked({ asked, answer }),
    quiet: true,
  });
  const answer = looked?.answer;
  const problem = look.error ?? write.error;
  const close = () => {
    setFile(undefined);
    setLooked(undefined);
    look.reset();
    write.reset();
    onClose();
  };
  const wrong = answer?.rows.filter((r) => r.outcome === 'failed') ?? [];
  return (
    <Drawer open={open} onClose={close} size={Math.min(720, window.innerWidth)} title={t('import.title', { model: tl(model.title) })} destroyOnHidden>
      <Form<Asked>
        form={form}
        layout="vertical"
        initialValues={{ key: usualKey(model), all: false }}
        onValuesChange={() => setLooked(undefined)}
        onFinish={(asked) => look.mutate(asked)}
      >
        <p className="dim" style={{ marginBottom: 12 }}>
          {t('import.lead')}
        </p>
        <Form.Item label={t('import.file')} required>
          <Upload
            accept=".csv,text/csv"
            maxCount={1}
            showUploadList={false}
            beforeUpload={(f) => {
              setFile(f);
              setLooked(undefined);
              return false;
            }}
          >
            <Button icon={<Icon of={UploadIcon} />}>{file ? file.name : t('import.choose')}</Button>
          </Upload>
        </Form.Item>
        <Form.Item name="key" label={t('import.key')} extra={t('import.keyHint')}>
          <Select
            mode="multiple"
            optionFilterProp="label"
            options={model.attributes.filter((a) => !['list', 'table', 'json', 'multi_enum', 'long_text'].includes(a.kind)).map((a) => ({ value: a.name, label: tl(a.title) || a.name }))}
          />
        </Form.Item>
        <Form.Item name="why" label={t('cmdb.why')}>
          <Input maxLength={500} placeholder={t('cmdb.whyHint')} />
        </Form.Item>
        <Form.Item name="all" valuePropName="checked">
          <Checkbox>{t('import.all')}</Checkbox>
        </Form.Item>
        {problem ? (
          <div style={{ marginBottom: 12 }}>
            <ProblemNote error={problem} />
          </div>
        ) : null}
        {answer && (
          <div style={{ marginBottom: 12 }}>
            <Note tone={answer.failed ? 'warn' : answer.kept ? 'ok' : 'info'} title={t(answer.kept ? 'import.done' : 'import.would')}>
              {t('import.figures', { created: answer.created, updated: answer.updated, unchanged: answer.unchanged, failed: answer.failed })}
            </Note>
          </div>
        )}
        <div className="row wrap">
          <Button htmlType="submit" type={looked && !answer?.kept ? 'default' : 'primary'} disabled={!file} loading={look.isPending}>
            {t('import.look')}
          </Button>
          {looked && !looked.answer.kept && looked.answer.created + looked.answer.updated > 0 && !(looked.asked.all && looked.answer.failed > 0) && (
            <Button type="primary" loading={write.isPending} onClick={() => write.mutate(looked.asked)}>
              {t('import.write', { n: looked.answer.created + looked.answer.updated })}
            </Button>
          )}
        </div>
      </Form>
      {wrong.length > 0 && (
        <table className="diff" style={{ marginTop: 16 }}>
          <thead>
            <tr>
              <th scope="col" style={{ width: 60 }}>
                {t('import.row')}
              </th>
              <th scope="col">{t('cmdb.attribute')}</th>
              <th scope="col">{t('import.wrong')}</th>
            </tr>
          </thead>
          <tbody>
            {wrong.slice(0, 200).map((r) => (
              <tr key={r.row}>
                <td>{r.row}</td>
                <td>
                  <Clip>{r.attribute}</Clip>
                </td>
                <td>{r.detail}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Drawer>
  );
}
