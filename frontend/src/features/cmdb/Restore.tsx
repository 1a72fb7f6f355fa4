import { Input, Modal } from 'antd';
import { useState } from 'react';
import { api } from '../../api/endpoints';
import type { Instance } from '../../api/types';
import { ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';

/** Asks before a record is brought back. Without `version` it is deleted, and comes back as it was last. */
export function RestoreDialog({ model, id, label, version, deleted, onClose }: { model: string; id: string; label: string; version?: number; deleted?: boolean; onClose: () => void }) {
  const { t } = useI18n();
  const [why, setWhy] = useState('');
  const [problem, setProblem] = useState<unknown>(null);
  const restore = useAct<void, Instance>({
    run: () => api.cmdb.restore(model, id, { ...(version === undefined ? {} : { version }), ...(why.trim() ? { why: why.trim() } : {}) }),
    done: t('restore.done'),
    stale: [['cmdb']],
    quiet: true,
    then: onClose,
  });
  return (
    <Modal
      open
      onCancel={onClose}
      title={version === undefined ? t('restore.title', { name: label }) : t('restore.titleVersion', { name: label, n: version })}
      okText={t('restore.do')}
      confirmLoading={restore.isPending}
      onOk={() => {
        setProblem(null);
        restore.mutate(undefined, { onError: setProblem });
      }}
    >
      <div className="stack">
        <p>{deleted ? t('restore.textDeleted') : t('restore.text')}</p>
        <label>
          <span className="dim">{t('cmdb.why')}</span>
          <Input value={why} maxLength={500} placeholder={t('cmdb.whyHint')} onChange={(e) => setWhy(e.target.value)} />
        </label>
        {problem ? <ProblemNote error={problem} /> : null}
      </div>
    </Modal>
  );
}
