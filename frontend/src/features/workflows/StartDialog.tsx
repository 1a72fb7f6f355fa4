import { Modal } from 'antd';
import { useNavigate } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import { api } from '../../api/endpoints';
import type { Json, Run } from '../../api/types';
import { ProblemNote } from '../../components/base';
import { uuid } from '../../components/id';
import { check, defaults, isObject, JsonField, SchemaForm, type FieldError, type Schema } from '../../components/SchemaForm';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';

/** An input as a form where its schema is known, as JSON where it is not. */
export function InputFields({ schema, value, onChange, errors }: { schema: Schema | null; value: Json | undefined; onChange: (v: Json | undefined) => void; errors: FieldError[] }) {
  const { t } = useI18n();
  if (schema?.properties && Object.keys(schema.properties).length > 0) return <SchemaForm schema={schema} value={value} onChange={onChange} errors={errors} />;
  return (
    <div>
      <p className="dim" style={{ marginBottom: 4 }}>{t('workflows.inputJson')}</p>
      <JsonField value={value} onChange={onChange} label={t('workflows.input')} />
    </div>
  );
}

export function asSchema(v: Json | undefined): Schema | null {
  return isObject(v) ? (v as unknown as Schema) : null;
}

export function StartDialog({ name, schema: raw, onClose }: { name: string; schema: Json; onClose: () => void }) {
  const { t } = useI18n();
  const navigate = useNavigate();
  const schema = asSchema(raw);
  const [input, setInput] = useState<Json | undefined>(() => defaults(schema ?? undefined) ?? {});
  const [errors, setErrors] = useState<FieldError[]>([]);
  const key = useRef(uuid());
  const start = useAct<Json, Run>({
    run: (v) => api.workflows.start(name, v, key.current),
    stale: [['runs']],
    quiet: true,
    then: (r) => void navigate({ to: `/runs/${r.id}` }),
  });
  return (
    <Modal
      open
      onCancel={onClose}
      title={t('workflows.startOf', { name })}
      okText={t('workflows.start')}
      confirmLoading={start.isPending}
      width={640}
      onOk={() => {
        const found = schema ? check(schema, input) : [];
        setErrors(found);
        if (found.length === 0) start.mutate(input ?? {});
      }}
    >
      <div className="stack">
        <InputFields schema={schema} value={input} onChange={setInput} errors={errors} />
        <ProblemNote error={start.error} />
      </div>
    </Modal>
  );
}
