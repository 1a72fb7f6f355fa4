import { describe, expect, it } from 'vitest';
import { pluginUrl, portalPath, safePath } from './path';

const BASE = '/api/v1';

describe('a plugin reaches its own routes', () => {
  it.each([
    ['/', '/api/v1/plugins/demo/http/'],
    ['/reports/17', '/api/v1/plugins/demo/http/reports/17'],
    ['/reports/', '/api/v1/plugins/demo/http/reports/'],
    ['/search?q=a/../b&x=%2f', '/api/v1/plugins/demo/http/search?q=a/../b&x=%2f'],
    ['/a%20b/%E4%B8%AD', '/api/v1/plugins/demo/http/a%20b/%E4%B8%AD'],
    ['/中文', '/api/v1/plugins/demo/http/中文'],
    ['/a#frag', '/api/v1/plugins/demo/http/a'],
    ['/..a/b..', '/api/v1/plugins/demo/http/..a/b..'],
  ])('%s', (path, url) => {
    expect(pluginUrl(BASE, 'demo', path)).toBe(url);
  });
});

describe('a plugin reaches nothing else', () => {
  it.each([
    '',
    'reports',
    '..',
    '/..',
    '/../users',
    '/a/../../users',
    '/a/./b',
    '/%2e%2e/users',
    '/%2E%2e/users',
    '/.%2e/users',
    '/a%2f..%2fusers',
    '/a%5c..%5cusers',
    '/%252e%252e/users',
    '/a%252fb',
    '/a%25252e',
    '//evil.example/x',
    '/a//b',
    '/\\evil.example',
    '\\\\evil.example',
    'https://evil.example/',
    'javascript:alert(1)',
    '/a\tb',
    '/a\nb',
    '/a b',
    '/a%00b',
    '/%zz',
    '/%c0%ae%c0%ae/users',
    `/${'a'.repeat(9000)}`,
  ])('%j', (path) => {
    expect(pluginUrl(BASE, 'demo', path)).toBeNull();
  });
  it('nor with a path that is no text', () => {
    for (const p of [null, undefined, 1, {}, ['/a'], { toString: () => '/a' }]) expect(safePath(p)).toBeNull();
  });
  it('nor by its own name', () => {
    expect(pluginUrl(BASE, '../users', '/')).toBeNull();
    expect(pluginUrl(BASE, 'a/b', '/')).toBeNull();
    expect(pluginUrl(BASE, '', '/')).toBeNull();
  });
});

describe('a plugin leads to pages of the portal only', () => {
  it.each([
    ['/runs/01', '/runs/01'],
    ['/cmdb/host?filter=a', '/cmdb/host?filter=a'],
    ['//evil.example', null],
    ['https://evil.example', null],
    ['javascript:alert(1)', null],
    ['/api/v1/session', null],
    ['/plugins/x/y/web/index.html', null],
    ['/\\evil.example', null],
    ['jobs', null],
    [7, null],
  ])('%j', (to, out) => {
    expect(portalPath(to)).toBe(out);
  });
});
