/** Which addresses a plugin's page may reach: paths below its own prefix, in their one plain spelling. */

const MAX_PATH = 8192;

/**
 * The path as it may be appended to the plugin's prefix, or null. What a server, a proxy or the URL parser could read
 * as a way out of the prefix is refused and not repaired: dot segments, encoded slashes and dots, backslashes, empty
 * segments, absolute URLs, control characters.
 */
export function safePath(path: unknown): string | null {
  if (typeof path !== 'string' || path.length > MAX_PATH || !path.startsWith('/')) return null;
   
  if (/[\\\u0000-\u0020\u007f]/.test(path)) return null;
  const hash = path.indexOf('#');
  const clean = hash < 0 ? path : path.slice(0, hash);
  const mark = clean.indexOf('?');
  const pathname = mark < 0 ? clean : clean.slice(0, mark);
  const query = mark < 0 ? '' : clean.slice(mark);
  const segments = pathname.slice(1).split('/');
  for (const [i, segment] of segments.entries()) {
    // A trailing slash leaves one empty segment at the end; the root is that alone.
    if (segment === '' && i === segments.length - 1) continue;
    if (segment === '') return null;
    let decoded: string;
    try {
      decoded = decodeURIComponent(segment);
    } catch {
      return null;
    }
    if (decoded === '.' || decoded === '..') return null;
     
    if (/[/\\\u0000-\u001f\u007f]/.test(decoded)) return null;
    // Encoded twice: something behind us might decode once more.
    if (/%(2e|2f|5c|25|00)/i.test(decoded)) return null;
  }
  return pathname + query;
}

/** The URL of a plugin's own route, or null when the path would lead anywhere else. */
export function pluginUrl(base: string, plugin: string, path: unknown): string | null {
  if (!/^[a-z0-9-]{2,40}$/.test(plugin)) return null;
  const safe = safePath(path);
  if (safe === null) return null;
  const prefix = `${base}/plugins/${plugin}/http`;
  const url = prefix + safe;
  // The parser that fetch uses has the last word.
  const parsed = new URL(url, 'http://plenum.invalid');
  if (parsed.origin !== 'http://plenum.invalid' || !(parsed.pathname === prefix || parsed.pathname.startsWith(`${prefix}/`))) return null;
  return url;
}

/** A page of the portal that a plugin may lead to. */
export function portalPath(to: unknown): string | null {
  if (typeof to !== 'string' || !to.startsWith('/') || to.startsWith('//') || to.length > 2000) return null;
   
  if (/[\\\u0000-\u0020]/.test(to)) return null;
  const parsed = new URL(to, 'http://plenum.invalid');
  if (parsed.origin !== 'http://plenum.invalid' || parsed.pathname.startsWith('/api/') || parsed.pathname.startsWith('/plugins/')) return null;
  return parsed.pathname + parsed.search + parsed.hash;
}
