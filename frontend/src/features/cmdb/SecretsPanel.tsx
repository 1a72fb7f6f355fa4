import { App, Button, Form, Input, Modal, Space } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Eye, KeyRound, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { secrets } from '../../api/secrets';
import type { Model } from '../../api/types';
import { Chip, CopyBox, Icon, Loading, Panel, ProblemNote, Time, Who } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';

/** The secret attributes of a record: whether they are set, never what they are, unless somebody may see one and says why. */
export function SecretsPanel({ model, id }: { model: Model; id: string }) {
  const { t, tl } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const own = model.attributes.filter((a) => a.kind === 'secret');
  const key = ['cmdb', 'secrets', model.name, id];
  const found = useQuery({ queryKey: key, queryFn: () => secrets.of(model.name, id), enabled: own.length > 0 });
  const [open, setOpen] = useState<{ what: 'set' | 'reveal'; attribute: string; title: string } | null>(null);
  const remove = useAct<string>({ run: (a) => secrets.remove(model.name, id, a), done: t('secrets.removed'), stale: [key] });
  if (own.length === 0) return null;
  return (
    <Panel title={t('secrets.title')}>
      {found.error ? <ProblemNote error={found.error} /> : null}
      {found.isPending && <Loading />}
      <dl className="facts">
        {(found.data?.items ?? []).map((s) => {
          const title = tl(own.find((a) => a.name === s.attribute)?.title) || s.attribute;
          return (
            <div key={s.attribute} className="row wrap" style={{ gap: '2px 10px' }}>
              <dt>{title}</dt>
              <dd>
                <Space wrap size={4}>
                  <Chip tone={s.set ? 'ok' : undefined}>{t(s.set ? 'secrets.set' : 'secrets.notSet')}</Chip>
                  {s.set_by && (
                    <span className="dim">
                      <Who actor={s.set_by} /> <Time at={s.set_at} />
                    </span>
                  )}
                  {can('cmdb.write') && <Button size="small" type="text" icon={<Icon of={KeyRound} />} aria-label={t(s.set ? 'secrets.rotate' : 'secrets.setOf', { name: title })} onClick={() => setOpen({ what: 'set', attribute: s.attribute, title })} />}
                  {s.set && can('cmdb.secret') && <Button size="small" type="text" icon={<Icon of={Eye} />} aria-label={t('secrets.reveal', { name: title })} onClick={() => setOpen({ what: 'reveal', attribute: s.attribute, title })} />}
                  {s.set && can('cmdb.write') && (
                    <Button
                      size="small"
                      type="text"
                      danger
                      icon={<Icon of={Trash2} />}
                      aria-label={t('secrets.remove', { name: title })}
                      onClick={() =>
                        modal.confirm({
                          title: t('secrets.remove', { name: title }),
                          content: t('secrets.removeText'),
                          okText: t('action.delete'),
                          okButtonProps: { danger: true },
                          onOk: () => remove.mutateAsync(s.attribute).catch(() => {}),
                        })
                      }
                    />
                  )}
                </Space>
              </dd>
            </div>
          );
        })}
      </dl>
      {open?.what === 'set' && <SetDialog model={model.name} id={id} attribute={open.attribute} title={open.title} onClose={() => setOpen(null)} />}
      {open?.what === 'reveal' && <RevealDialog model={model.name} id={id} attribute={open.attribute} title={open.title} onClose={() => setOpen(null)} />}
    </Panel>
  );
}

interface DialogProps {
  model: string;
  id: string;
  attribute: string;
  title: string;
  onClose: () => void;
}

function SetDialog({ model, id, attribute, title, onClose }: DialogProps) {
  const { t } = useI18n();
  const [form] = Form.useForm<{ value: string }>();
  const set = useAct<string>({ run: (v) => secrets.set(model, id, attribute, v), done: t('secrets.done'), stale: [['cmdb', 'secrets', model, id]], then: onClose });
  return (
    <Modal open title={t('secrets.setOf', { name: title })} okText={t('action.save')} confirmLoading={set.isPending} onOk={() => form.submit()} onCancel={onClose} destroyOnHidden>
      <Form form={form} layout="vertical" onFinish={(d) => set.mutate(d.value)}>
        <Form.Item name="value" label={t('secrets.value')} rules={[{ required: true, message: t('form.required') }]}>
          <Input.Password autoComplete="new-password" maxLength={16384} />
        </Form.Item>
      </Form>
    </Modal>
  );
}

function RevealDialog({ model, id, attribute, title, onClose }: DialogProps) {
  const { t } = useI18n();
  const [form] = Form.useForm<{ reason: string }>();
  // Kept here only: no cache of the page's has it.
  const [value, setValue] = useState<string | null>(null);
  const reveal = useAct<string, { value: string }>({ run: (r) => secrets.reveal(model, id, attribute, r), then: (r) => setValue(r.value) });
  return (
    <Modal
      open
      title={t('secrets.reveal', { name: title })}
      okText={t('secrets.reveal', { name: title })}
      okButtonProps={value === null ? {} : { style: { display: 'none' } }}
      cancelText={t('action.close')}
      confirmLoading={reveal.isPending}
      onOk={() => form.submit()}
      onCancel={onClose}
      destroyOnHidden
    >
      {value === null ? (
        <Form form={form} layout="vertical" onFinish={(d) => reveal.mutate(d.reason)}>
          <Form.Item name="reason" label={t('secrets.reason')} extra={t('secrets.reasonHint')} rules={[{ required: true, min: 3, whitespace: true, message: t('form.required') }]}>
            <Input maxLength={500} />
          </Form.Item>
        </Form>
      ) : (
        <>
          <CopyBox text={value} label={title} />
          <p className="dim">{t('secrets.revealed')}</p>
        </>
      )}
    </Modal>
  );
}
