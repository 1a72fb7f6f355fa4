import { Button, Drawer, Form, Input, Select, Space } from 'antd';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { BulkAnswer, BulkRequest, Instance, Json, Model, RowOutcome } from '../../api/types';
import { Note, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { AttributeInput, fromInput, writable } from './InstanceForm';
import { Report } from './Report';
import { wrong } from './rules';
import { plain } from './values';

/** Records of the preview that are drawn. */
const MAX_SHOWN = 100;

/** What each of the records would lose and get. */
export function changesOf(rows: Instance[], attributes: Record<string, Json>): { row: Instance; name: string; before: Json | undefined; after: Json }[] {
  return rows.flatMap((row) =>
    Object.entries(attributes)
      .filter(([name, after]) => JSON.stringify(row.attributes[name] ?? null) !== JSON.stringify(after))
      .map(([name, after]) => ({ row, name, before: row.attributes[name], after })),
  );
}

/** Many records changed or deleted at once: first what would be, then, with a reason, what is. */
export function BulkDrawer({ model, rows, action, onClose, onDone }: { model: Model; rows: Instance[]; action: 'update' | 'delete'; onClose: () => void; onDone: () => void }) {
  const { t, tl } = useI18n();
  const [form] = Form.useForm<Record<string, unknown>>();
  // As they were when the work began: the list behind forgets what was chosen once it is done.
  const [records] = useState(rows);
  const [names, setNames] = useState<string[]>([]);
  const [why, setWhy] = useState('');
  const [asked, setAsked] = useState<Record<string, Json>>({});
  const [preview, setPreview] = useState<BulkAnswer | null>(null);
  const [result, setResult] = useState<BulkAnswer | null>(null);
  const request = (attributes: Record<string, Json>, dry_run: boolean): BulkRequest => ({
    action,
    all: false,
    dry_run,
    rows: records.map((r) => (action === 'delete' ? { id: r.id, version: r.version } : { id: r.id, version: r.version, attributes })),
    ...(why.trim() && !dry_run ? { why: why.trim() } : {}),
  });
  const look = useAct<Record<string, Json>, BulkAnswer>({
    run: (attributes) => api.cmdb.bulk(model.name, request(attributes, true)),
    quiet: true,
    then: (answer, attributes) => {
      setAsked(attributes);
      setPreview(answer);
    },
  });
  const write = useAct<void, BulkAnswer>({
    run: () => api.cmdb.bulk(model.name, request(asked, false)),
    quiet: true,
    stale: [['cmdb']],
    then: (answer) => {
      setResult(answer);
      onDone();
    },
  });
  const begin = () => {
    if (action === 'delete') return look.mutate({});
    void form.validateFields().then(
      (values) => look.mutate(Object.fromEntries(model.attributes.filter((a) => names.includes(a.name)).map((a) => [a.name, fromInput(a, values[a.name])]))),
      () => {},
    );
  };
  const count = preview ? preview.updated + preview.deleted : 0;
  const figures: RowOutcome[] = action === 'delete' ? ['deleted', 'failed'] : ['updated', 'unchanged', 'failed'];
  const report = result ?? preview;
  const ownedByAgent = action === 'delete' && records.some((r) => typeof r.attributes.node_id === 'string');
  return (
    <Drawer open onClose={onClose} size={Math.min(760, window.innerWidth)} title={t(action === 'delete' ? 'bulk.deleteTitle' : 'bulk.changeTitle', { n: records.length })}>
      <div className="stack">
        {action === 'delete' ? (
          <p>
            {t('bulk.deleteText')} {ownedByAgent && t('bulk.deleteNode')}
          </p>
        ) : (
          <Form form={form} layout="vertical" disabled={write.isPending || result !== null} onValuesChange={() => setPreview(null)}>
            <Form.Item label={t('bulk.attributes')} htmlFor="bulk-attributes" extra={t('bulk.attributesHint')}>
              <Select
                id="bulk-attributes"
                mode="multiple"
                optionFilterProp="label"
                value={names}
                options={model.attributes.filter((a) => writable(a, false)).map((a) => ({ value: a.name, label: tl(a.title) || a.name }))}
                onChange={(next: string[]) => {
                  setNames(next);
                  setPreview(null);
                }}
              />
            </Form.Item>
            {model.attributes
              .filter((a) => names.includes(a.name))
              .map((a) => (
                <Form.Item
                  key={a.name}
                  name={a.name}
                  label={tl(a.title) + (a.unit ? ` (${a.unit})` : '')}
                  valuePropName={a.kind === 'boolean' ? 'checked' : 'value'}
                  initialValue={a.kind === 'boolean' ? false : undefined}
                  rules={[
                    { required: a.required && a.kind !== 'boolean', message: t('form.required') },
                    {
                      validator: (_: unknown, v: unknown) => {
                        const w = wrong(a, v);
                        if (w) return Promise.reject(new Error(t(`form.${w.what}`, { n: w.n })));
                        try {
                          fromInput(a, v);
                          return Promise.resolve();
                        } catch (e) {
                          return Promise.reject(new Error(t('form.notJson', { why: e instanceof Error ? e.message : '' })));
                        }
                      },
                    },
                  ]}
                >
                  <AttributeInput attribute={a} />
                </Form.Item>
              ))}
          </Form>
        )}
        <ProblemNote error={look.error ?? write.error} />
        {result ? (
          <Note tone={result.failed > 0 ? 'warn' : 'ok'} title={t('bulk.done')} />
        ) : (
          preview && (
            <Note tone={preview.failed > 0 ? 'warn' : 'info'} title={count > 0 || preview.failed > 0 ? t('bulk.fine') : t('bulk.nothing')}>
              {preview.failed > 0 ? t('bulk.some') : null}
            </Note>
          )
        )}
        {report && <Report answer={report} model={model} done={result !== null} figures={figures} />}
        {preview && !result && action === 'update' && <Changes model={model} rows={records.filter((r) => preview.rows.some((x) => x.id === r.id && x.outcome === 'updated'))} attributes={asked} />}
        {preview && !result && count > 0 && (
          <label>
            <span className="dim">{t('cmdb.why')}</span>
            <Input value={why} maxLength={500} disabled={write.isPending} placeholder={t('cmdb.whyHint')} onChange={(e) => setWhy(e.target.value)} />
          </label>
        )}
        <Space wrap>
          {result ? (
            <Button type="primary" onClick={onClose}>
              {t('action.close')}
            </Button>
          ) : (
            <>
              {preview && count > 0 && (
                <Button type="primary" danger={action === 'delete'} loading={write.isPending} onClick={() => write.mutate()}>
                  {t(action === 'delete' ? 'bulk.deleteDo' : 'bulk.do', { n: count })}
                </Button>
              )}
              <Button type={preview && count > 0 ? 'default' : 'primary'} disabled={write.isPending || (action === 'update' && names.length === 0)} loading={look.isPending} onClick={begin}>
                {t('bulk.preview')}
              </Button>
            </>
          )}
        </Space>
      </div>
    </Drawer>
  );
}

function Changes({ model, rows, attributes }: { model: Model; rows: Instance[]; attributes: Record<string, Json> }) {
  const { t, tl } = useI18n();
  const changes = changesOf(rows, attributes);
  if (changes.length === 0) return null;
  return (
    <div>
      <table className="diff">
        <thead>
          <tr>
            <th scope="col">{t('cmdb.instance')}</th>
            <th scope="col">{t('cmdb.attribute')}</th>
            <th scope="col">{t('cmdb.before')}</th>
            <th scope="col">{t('cmdb.after')}</th>
          </tr>
        </thead>
        <tbody>
          {changes.slice(0, MAX_SHOWN).map((c) => (
            <tr key={`${c.row.id} ${c.name}`}>
              <th scope="row">{c.row.label || c.row.id}</th>
              <td>{tl(model.attributes.find((a) => a.name === c.name)?.title) || c.name}</td>
              <td className={plain(c.before) ? 'was' : undefined}>{plain(c.before)}</td>
              <td className={plain(c.after) ? 'is' : undefined}>{plain(c.after)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {changes.length > MAX_SHOWN && <p className="dim">{t('bulk.first', { n: MAX_SHOWN, total: changes.length })}</p>}
    </div>
  );
}
