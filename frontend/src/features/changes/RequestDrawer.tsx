import { Drawer, Form, Input } from 'antd';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { changes } from '../../api/changes';
import type { Instance, Model } from '../../api/types';
import { useI18n } from '../../i18n';
import { InstanceForm } from '../cmdb/InstanceForm';

/** Asking for a change of one record: the same form as changing it. */
export function RequestDrawer({ model, instance, onClose }: { model: Model; instance: Instance; onClose: () => void }) {
  const { t } = useI18n();
  const navigate = useNavigate();
  const [title, setTitle] = useState(t('changes.titleUpdate', { name: instance.label }));
  return (
    <Drawer open title={t('changes.request')} onClose={onClose} size={640} destroyOnHidden>
      <Form layout="vertical">
        <Form.Item label={t('changes.titleField')} required>
          <Input value={title} maxLength={200} onChange={(e) => setTitle(e.target.value)} />
        </Form.Item>
      </Form>
      <InstanceForm
        model={model}
        instance={instance}
        onDone={onClose}
        send={async (attributes, why) => {
          const made = await changes.make({ title, ...(why ? { reason: why } : {}), items: [{ act: 'update', model: model.name, id: instance.id, attributes, version: instance.version }] });
          void navigate({ to: `/changes/${made.id}` });
          return instance;
        }}
      />
    </Drawer>
  );
}
