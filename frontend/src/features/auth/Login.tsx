import { Button, Form, Input } from 'antd';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { api } from '../../api/endpoints';
import { ProblemNote } from '../../components/base';
import { useI18n } from '../../i18n';
import { Logo } from '../../layout/Logo';
import { LanguageButton, ThemeButton } from '../../layout/Tools';

/** Racks on a raised floor, with the lines that run beneath it. */
function Art() {
  const racks = [30, 92, 154, 216, 278];
  return (
    <svg className="grid" viewBox="0 0 360 240" preserveAspectRatio="xMidYMax slice" aria-hidden="true" focusable="false">
      {racks.map((x, i) => (
        <g key={x}>
          <rect x={x} y={20 + (i % 2) * 14} width="48" height={110 - (i % 2) * 14} fill="none" stroke="#3b524d" />
          {Array.from({ length: 7 - (i % 2) }, (_, j) => (
            <g key={j}>
              <path d={`M${x + 6} ${122 - j * 14}h24`} stroke="#2f4541" strokeWidth="3" />
              <circle cx={x + 40} cy={122 - j * 14} r="1.6" fill={(i + j) % 5 === 0 ? '#e0a84a' : '#4cc0b4'} />
            </g>
          ))}
        </g>
      ))}
      <path d="M0 130h360" stroke="#4cc0b4" strokeWidth="5" />
      {[8, 68, 128, 188, 248, 308].map((x) => (
        <path key={x} d={`M${x} 133v74`} stroke="#2f4541" strokeWidth="4" />
      ))}
      <path d="M0 207h360" stroke="#2f4541" strokeWidth="4" />
      <path d="M0 172h54V133M0 182h178V133M0 192h240V133M360 162H302V133M360 172H116V133" stroke="#8fa39e" strokeWidth="1.4" fill="none" opacity=".7" />
    </svg>
  );
}

export default function Login() {
  const { t } = useI18n();
  const client = useQueryClient();
  const signIn = useMutation({
    mutationFn: api.session.signIn,
    onSuccess: (session) => {
      // What another person saw goes; the session's own entry stays, for whoever looks at it would not see a new one.
      client.removeQueries({ predicate: (q) => q.queryKey[0] !== 'session' });
      client.setQueryData(['session'], session);
    },
  });
  useEffect(() => {
    document.title = `${t('login.title')} · Plenum`;
  }, [t]);
  return (
    <div className="login">
      <div className="login-art">
        <Art />
        <div>
          <div className="word">
            <Logo />
            Plenum
          </div>
          <p>{t('login.tagline')}</p>
        </div>
      </div>
      <main className="login-form">
        <div className="login-tools">
          <LanguageButton />
          <ThemeButton />
        </div>
        <Form layout="vertical" requiredMark={false} onFinish={(v: { name: string; password: string }) => signIn.mutate(v)}>
          <h1>{t('login.title')}</h1>
          <Form.Item name="name" label={t('login.name')} rules={[{ required: true, message: t('form.required') }]}>
            <Input autoComplete="username" autoFocus autoCapitalize="off" spellCheck={false} size="large" />
          </Form.Item>
          <Form.Item name="password" label={t('login.password')} rules={[{ required: true, message: t('form.required') }]}>
            <Input.Password autoComplete="current-password" size="large" />
          </Form.Item>
          {signIn.error ? (
            <div style={{ marginBottom: 14 }}>
              <ProblemNote error={signIn.error} />
            </div>
          ) : null}
          <Button type="primary" htmlType="submit" block size="large" loading={signIn.isPending}>
            {t('login.submit')}
          </Button>
        </Form>
      </main>
    </div>
  );
}
