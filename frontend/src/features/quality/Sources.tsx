import { App, Button, Form, Input, InputNumber, Modal, Select } from 'antd';
import { DatabaseZap, Pencil, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { quality, type Source, type SourceSettings } from '../../api/quality';
import { Chip, Clip, Empty, Icon, Note, PageHead, ProblemNote, Time } from '../../components/base';
import { duration } from '../../components/format';
import { ResourceList, type ListColumn } from '../../components/ResourceList';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useCan } from '../../session';
import { SourceTabs, sourceName } from './parts';

const HOUR = 3600;

export default function Sources() {
  const { t } = useI18n();
  const can = useCan();
  const { modal } = App.useApp();
  const [editing, setEditing] = useState<Source | 'new' | null>(null);
  const remove = useAct<Source>({ run: (s) => quality.deleteSource(s.name), done: t('cmdb.deleted'), stale: [['sources']] });
  const may = can('cmdb.model');
  const age = (s: number | null) => (s === null ? <span className="faint">{t('sources.never')}</span> : duration(s * 1000));
  const columns: ListColumn<Source>[] = [
    {
      key: 'name',
      title: t('sources.name'),
      text: (s) => s.name,
      render: (s) => (
        <>
          {sourceName(s.name, t)} {sourceName(s.name, t) !== s.name && <span className="faint mono">{s.name}</span>}
        </>
      ),
    },
    { key: 'records', title: t('sources.records'), num: true, text: (s) => String(s.records), render: (s) => s.records },
    { key: 'stale', title: t('sources.stale'), num: true, text: (s) => String(s.stale), render: (s) => (s.stale > 0 ? <Chip tone="warn">{s.stale}</Chip> : 0) },
    { key: 'vanished', title: t('sources.vanished'), num: true, text: (s) => String(s.vanished), render: (s) => (s.vanished > 0 ? <Chip tone="warn">{s.vanished}</Chip> : 0) },
    { key: 'seen', title: t('sources.lastSeen'), text: (s) => s.last_seen ?? '', render: (s) => <Time at={s.last_seen} /> },
    { key: 'staleAfter', title: t('sources.staleAfter'), render: (s) => age(s.settings.stale_after_s) },
    { key: 'vanishAfter', title: t('sources.vanishAfter'), render: (s) => age(s.settings.vanish_after_s) },
    { key: 'archiveAfter', title: t('sources.archiveAfter'), render: (s) => age(s.settings.archive_after_s) },
    { key: 'onNew', title: t('sources.onNew'), text: (s) => s.settings.on_new, render: (s) => <Clip>{t(`sources.onNew.${s.settings.on_new}`)}</Clip> },
    {
      key: 'act',
      title: '',
      render: (s) =>
        may && (
          <span className="row">
            <button type="button" className="icon-btn" aria-label={t('sources.edit', { name: s.name })} title={t('sources.edit', { name: s.name })} onClick={() => setEditing(s)}>
              <Icon of={Pencil} />
            </button>
            {s.named && (
              <button
                type="button"
                className="icon-btn"
                aria-label={t('sources.delete', { name: s.name })}
                title={t('sources.delete', { name: s.name })}
                onClick={() => modal.confirm({ title: t('sources.delete', { name: s.name }), okButtonProps: { danger: true }, onOk: () => remove.mutateAsync(s).catch(() => {}) })}
              >
                <Icon of={Trash2} />
              </button>
            )}
          </span>
        ),
    },
  ];
  const create = may && (
    <Button type="primary" icon={<Icon of={Plus} />} onClick={() => setEditing('new')}>
      {t('sources.new')}
    </Button>
  );
  return (
    <div className="page">
      <PageHead title={t('sources.title')} sub={t('sources.lead')} actions={create} />
      <SourceTabs />
      <ResourceList<Source> id="sources" label={t('sources.title')} queryKey={['sources', 'list']} load={quality.sources} columns={columns} rowKey={(s) => s.name} empty={<Empty icon={DatabaseZap} title={t('sources.title')} />} />
      {editing !== null && <SourceDialog source={editing === 'new' ? undefined : editing} onClose={() => setEditing(null)} />}
    </div>
  );
}

interface Draft {
  name: string;
  on_new: SourceSettings['on_new'];
  stale?: number | null;
  vanish?: number | null;
  archive?: number | null;
}

function SourceDialog({ source, onClose }: { source?: Source; onClose: () => void }) {
  const { t } = useI18n();
  const [form] = Form.useForm<Draft>();
  const hours = (s: number | null | undefined) => (s == null ? null : s / HOUR);
  const seconds = (h: number | null | undefined) => (h == null ? null : Math.round(h * HOUR));
  const save = useAct<Draft>({
    run: (d) =>
      quality.putSource(source?.name ?? d.name.trim(), {
        ...(source?.settings.title ? { title: source.settings.title } : {}),
        stale_after_s: seconds(d.stale),
        vanish_after_s: seconds(d.vanish),
        archive_after_s: seconds(d.archive),
        on_new: d.on_new,
      }),
    done: t('cmdb.saved'),
    stale: [['sources'], ['cmdb', 'sources']],
    quiet: true,
    then: onClose,
  });
  const s = source?.settings;
  const initial: Draft = { name: source?.name ?? '', on_new: s?.on_new ?? 'create', stale: s ? hours(s.stale_after_s) : 168, vanish: s ? hours(s.vanish_after_s) : 720, archive: hours(s?.archive_after_s) };
  const ages = ['stale', 'vanish', 'archive'] as const;
  return (
    <Modal open onCancel={onClose} title={source ? t('sources.edit', { name: source.name }) : t('sources.new')} okText={t('action.save')} onOk={() => form.submit()} confirmLoading={save.isPending}>
      <Form form={form} layout="vertical" initialValues={initial} onFinish={(d) => save.mutate(d)}>
        {!source && (
          <Form.Item name="name" label={t('sources.name')} extra={t('sources.nameHint')} rules={[{ required: true, pattern: /^[a-z][a-z0-9_-]{0,59}$/, message: t('sources.nameHint') }]}>
            <Input autoComplete="off" />
          </Form.Item>
        )}
        {ages.map((k) => (
          <Form.Item key={k} name={k} label={`${t(`sources.${k}After`)} (${t('sources.hours')})`} extra={t(`sources.${k}Hint`)}>
            <InputNumber min={0.1} style={{ width: 160 }} placeholder={t('sources.never')} />
          </Form.Item>
        ))}
        <Form.Item name="on_new" label={t('sources.onNew')} extra={t('sources.onNewHint')}>
          <Select options={(['create', 'review', 'ignore'] as const).map((v) => ({ value: v, label: t(`sources.onNew.${v}`) }))} />
        </Form.Item>
        {save.error ? <ProblemNote error={save.error} /> : source ? null : <Note tone="info">{t('sources.sendHint')}</Note>}
      </Form>
    </Modal>
  );
}
