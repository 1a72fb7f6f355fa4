import { useState } from 'react';

/** An app's icon, or its first letter when it has none or it cannot be loaded. */
export function AppIcon({ url, name, large }: { url: string | null | undefined; name: string; large?: boolean }) {
  const [broken, setBroken] = useState(false);
  return (
    <span className={large ? 'app-icon lg' : 'app-icon'} aria-hidden="true">
      {url && !broken ? <img src={url} alt="" onError={() => setBroken(true)} /> : [...name][0]?.toUpperCase()}
    </span>
  );
}
