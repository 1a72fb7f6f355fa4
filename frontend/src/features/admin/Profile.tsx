import { Button, Form, Input } from 'antd';
import { api } from '../../api/endpoints';
import { PageHead, Panel, ProblemNote } from '../../components/base';
import { useAct } from '../../components/useAct';
import { useI18n } from '../../i18n';
import { useSession } from '../../session';

interface Draft {
  current: string;
  next: string;
  again: string;
}

export default function Profile() {
  const { t } = useI18n();
  const me = useSession();
  const [form] = Form.useForm<Draft>();
  const change = useAct<Draft>({
    run: (d) => api.session.password({ current: d.current, new: d.next }),
    done: t('profile.changed'),
    quiet: true,
    then: () => form.resetFields(),
  });
  return (
    <div className="page narrow">
      <PageHead title={t('nav.profile')} />
      <Panel title={t('profile.you')}>
        <dl className="kv one">
          <div>
            <dt>{t('users.name')}</dt>
            <dd>{me.name}</dd>
          </div>
          <div>
            <dt>{t('users.displayName')}</dt>
            <dd>{me.display_name || '—'}</dd>
          </div>
          <div>
            <dt>{t('users.role')}</dt>
            <dd>
              {t(`role.${me.role}`)} <span className="dim">{t(`role.${me.role}.text`)}</span>
            </dd>
          </div>
        </dl>
      </Panel>
      <Panel title={t('profile.change')}>
        <Form<Draft> form={form} layout="vertical" style={{ maxWidth: 360 }} onFinish={(d) => change.mutate(d)}>
          <input type="text" name="username" autoComplete="username" value={me.name} readOnly hidden />
          <Form.Item name="current" label={t('profile.current')} rules={[{ required: true, message: t('form.required') }]}>
            <Input.Password autoComplete="current-password" />
          </Form.Item>
          <Form.Item name="next" label={t('profile.new')} extra={t('users.passwordHint')} rules={[{ required: true, message: t('form.required') }]}>
            <Input.Password autoComplete="new-password" />
          </Form.Item>
          <Form.Item
            name="again"
            label={t('profile.again')}
            dependencies={['next']}
            rules={[
              { required: true, message: t('form.required') },
              ({ getFieldValue }) => ({ validator: (_, v) => (!v || v === getFieldValue('next') ? Promise.resolve() : Promise.reject(new Error(t('profile.differ')))) }),
            ]}
          >
            <Input.Password autoComplete="new-password" />
          </Form.Item>
          {change.error ? (
            <div style={{ marginBottom: 12 }}>
              <ProblemNote error={change.error} />
            </div>
          ) : null}
          <Button type="primary" htmlType="submit" loading={change.isPending}>
            {t('profile.change')}
          </Button>
          <p className="dim" style={{ marginTop: 8 }}>
            {t('profile.othersEnd')}
          </p>
        </Form>
      </Panel>
    </div>
  );
}
