import { describe, expect, it } from 'vitest';

import { covered, typeMatches } from './bridge';
import { portalPath, safePath } from './path';

describe('paths that a plugin page asks for', () => {
  it('reach its own routes', () => {
    for (const path of ['/inspections', '/reports/7?x=1', '/a/b/c']) expect(safePath(path), path).not.toBeNull();
  });

  it('never leave its own prefix', () => {
    for (const path of ['/../x', '/a/../../x', '/%2e%2e/x', '/a/%2e%2e/%2e%2e/x', '//evil.example/x', 'https://evil.example/', '/a%2f..%2fx', '/a\\..\\x', 7, null, undefined, {}]) {
      expect(safePath(path), String(path)).toBeNull();
    }
  });

  it('navigate within the portal only', () => {
    for (const to of ['https://evil.example', '//evil.example', 'javascript:alert(1)']) expect(portalPath(to), to).toBeNull();
    expect(portalPath('/cmdb/host')).not.toBeNull();
  });
});

describe('events that a plugin page hears', () => {
  it('match by name or by prefix', () => {
    expect(typeMatches('plenum.job.*', 'plenum.job.target.finished')).toBe(true);
    expect(typeMatches('plenum.job.target.finished', 'plenum.job.target.finished')).toBe(true);
    expect(typeMatches('plenum.job.target.finished', 'plenum.node.online')).toBe(false);
  });

  it('are within its grant', () => {
    expect(covered('plenum.job.target.finished', ['plenum.job.*'])).toBe(true);
    expect(covered('plenum.node.online', ['plenum.job.*'])).toBe(false);
  });
});
