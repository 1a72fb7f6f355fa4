import { Modal } from 'antd';
import type { ReactNode } from 'react';
import { AppIcon } from './AppIcon';

/** A dialog about one app: its icon and name above, its buttons in sight however much stands between. */
export function AppDialog({ icon, name, title, sub, footer, onClose, children }: { icon: string | null; name: string; title: string; sub?: string; footer: ReactNode; onClose: () => void; children: ReactNode }) {
  return (
    <Modal
      open
      onCancel={onClose}
      width={640}
      centered
      styles={{ body: { maxHeight: 'calc(100dvh - 220px)', overflowY: 'auto' } }}
      mask={{ closable: false }}
      title={
        <span className="row" style={{ gap: 10 }}>
          <AppIcon url={icon} name={name} />
          <span>
            {title}
            {sub && (
              <div className="dim" style={{ fontWeight: 400 }}>
                {sub}
              </div>
            )}
          </span>
        </span>
      }
      footer={footer}
    >
      {children}
    </Modal>
  );
}
