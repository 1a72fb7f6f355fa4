// What every step of the walk needs: a browser, a watch over what goes wrong in it, and the checks that hold for every page.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** Longest wait for something that should happen: generous, for a loaded machine; a passing walk never waits so long. */
export const PATIENCE = Number(process.env.PLENUM_PATIENCE ?? 60) * 1000;

export async function launch() {
  return chromium.launch({
    executablePath: process.env.PLENUM_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
  });
}

/** Collects what a reader's console would show: errors, uncaught exceptions, failed requests. */
export class Watch {
  found = [];
  pending = new Set();
  #allowed = [];

  constructor(page) {
    const say = (text) => {
      if (!this.#allowed.some((a) => a.test(text))) this.found.push(text);
    };
    page.on('console', (m) => {
      if (m.type() === 'error' || m.type() === 'warning') say(`console ${m.type()}: ${m.text()} (${m.location().url})`);
    });
    page.on('pageerror', (e) => say(`uncaught: ${e.stack ?? e.message}`));
    page.on('response', (r) => {
      if (r.status() >= 400) say(`${r.status()} ${r.request().method()} ${r.url()}`);
    });
    page.on('request', (r) => {
      // Streams stay open for as long as the page does.
      if (!/\/stream(\?|$)/.test(r.url())) this.pending.add(r);
    });
    page.on('requestfinished', (r) => this.pending.delete(r));
    page.on('requestfailed', (r) => {
      this.pending.delete(r);
      // A request that its page left behind is nobody's failure.
      if (r.failure()?.errorText !== 'net::ERR_ABORTED') say(`failed: ${r.method()} ${r.url()}: ${r.failure()?.errorText}`);
    });
  }

  /** Runs `f`, in which a refusal of this address is part of what is tried. */
  async expecting(pattern, f) {
    this.#allowed.push(pattern);
    try {
      return await f();
    } finally {
      this.#allowed.pop();
    }
  }

  /** Fails when something went wrong since the last time. */
  check(where) {
    const found = this.found.splice(0);
    if (found.length > 0) throw new Error(`${where}:\n  ${[...new Set(found)].join('\n  ')}`);
  }
}

/** Waits until `f` answers something true, without a rule for how long that takes. */
export async function until(what, f, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const v = await f();
    if (v) return v;
    if (Date.now() > end) throw new Error(`waited ${patience / 1000} s for: ${what}`);
    await new Promise((done) => setTimeout(done, 40));
  }
}

const quiet = () =>
  new Promise((done) => {
    const busy = () => document.readyState !== 'complete' || document.querySelector('.loading, .ant-spin-spinning, .ant-skeleton-active') !== null;
    // Two frames in a row: what was answered has been drawn.
    requestAnimationFrame(() => (busy() ? done(false) : requestAnimationFrame(() => done(!busy()))));
  });

/** Until all that the page asked for has come and nothing says that it is loading. */
export async function settled(page, watch) {
  await until(`${page.url()} to settle`, async () => {
    if (watch.pending.size > 0) return false;
    const calm = await Promise.all(page.frames().map((f) => f.evaluate(quiet).catch(() => false)));
    return calm.every(Boolean) && watch.pending.size === 0;
  });
}

/** The keys of the portal's texts, and the English texts that Chinese says differently. */
function catalogs(root) {
  const i18n = join(root, 'frontend/src/i18n');
  const read = (text) => [...text.matchAll(/^ {2}'([\w.]+)': (['"`])(.*)\2,$/gm)].map((m) => [m[1], m[3].replaceAll("\\'", "'")]);
  const en = new Map(read(readFileSync(join(i18n, 'en.ts'), 'utf8')));
  const zh = new Map(read(readFileSync(join(i18n, 'zh.ts'), 'utf8')));
  // Each area has both languages in one file, English first.
  for (const file of readdirSync(join(i18n, 'areas'))) {
    const [english, chinese] = readFileSync(join(i18n, 'areas', file), 'utf8').split('export const zh');
    for (const [key, text] of read(english)) en.set(key, text);
    for (const [key, text] of read(chinese)) zh.set(key, text);
  }
  if (en.size < 300 || zh.size !== en.size) throw new Error(`the catalogs of texts were not understood: ${en.size} and ${zh.size} texts`);
  // One word may be a name that both languages share; a sentence is not.
  const sentences = [...en].filter(([k, text]) => text.includes(' ') && !text.includes('{') && zh.get(k) !== text).map(([, text]) => text);
  // The Inspection Center's texts are their own keys.
  const app = readFileSync(join(root, 'plugins/inspection-center/web/i18n.js'), 'utf8');
  const own = [...app.slice(app.indexOf('const zh'), app.indexOf('};')).matchAll(/'([^'{}]+)': '([^']*)'/g)].filter((m) => m[1].includes(' ') && m[1] !== m[2]);
  if (own.length < 40) throw new Error(`the texts of the Inspection Center were not understood: ${own.length}`);
  return { keys: [...en.keys()], sentences: [...sentences, ...own.map((m) => m[1])] };
}

const TEXTS = catalogs(join(import.meta.dirname, '../..'));

const inspect = ({ keys, sentences, chinese }) => {
  const problems = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) problems.push(`the document is ${root.scrollWidth} wide in a window of ${root.clientWidth}`);
  const content = document.getElementById('content') ?? document.querySelector('main');
  if (content && content.scrollWidth > content.clientWidth) problems.push(`the content is ${content.scrollWidth} wide in a space of ${content.clientWidth}`);
  if (problems.length > 0) {
    const far = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest('.table-wrap, .scroll, pre, .ant-drawer, .vh, .sr')).slice(0, 3);
    for (const e of far) problems.push(`  reaches out: <${e.tagName.toLowerCase()} class="${e.getAttribute('class') ?? ''}"> ${e.textContent.slice(0, 60)}`);
  }
  for (const e of document.querySelectorAll('svg.trend text')) {
    const [text, chart] = [e, e.ownerSVGElement].map((x) => x.getBoundingClientRect());
    if (text.left < chart.left || text.right > chart.right) problems.push(`cut off in a chart: ${e.textContent}`);
  }
  const raw = new Set(keys);
  const english = new Set(sentences);
  const look = (text, where) => {
    const s = text?.trim();
    if (!s) return;
    if (raw.has(s)) problems.push(`the key ${s} is shown as text (${where})`);
    if (chinese && english.has(s)) problems.push(`English on a Chinese page: ${s} (${where})`);
    if (/\bundefined\b|\[object Object\]|\bNaN\b|\{[A-Za-z_]\w*\}/.test(s) && !where.match(/pre|code|PRE|CODE/)) problems.push(`not meant for a reader: ${s.slice(0, 120)} (${where})`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    const at = n.parentElement;
    if (at.closest('script, style, pre, code, textarea, .cm-editor, .json')) continue;
    look(n.textContent, at.tagName);
  }
  for (const e of document.querySelectorAll('[aria-label], [title], [placeholder]')) {
    // A button that still works shows an icon that is labelled `loading`, which is also a key.
    if (e.closest('.anticon')) continue;
    for (const a of ['aria-label', 'title', 'placeholder']) look(e.getAttribute(a), a);
  }
  if (![...document.querySelectorAll('h1')].some((h) => h.textContent.trim())) problems.push('the page has no heading');
  return problems;
};

/** What holds for every page at every size, in both languages. */
export async function sound(page, watch, where, chinese) {
  const problems = [];
  for (const frame of page.frames()) problems.push(...(await frame.evaluate(inspect, { ...TEXTS, chinese })).map((p) => (frame === page.mainFrame() ? p : `in the frame: ${p}`)));
  if (problems.length > 0) throw new Error(`${where}:\n  ${problems.join('\n  ')}`);
  watch.check(where);
}

export class Shots {
  constructor(dir) {
    this.dir = dir;
    if (dir) mkdirSync(dir, { recursive: true });
  }

  async take(page, name, options = {}) {
    if (this.dir) await page.screenshot({ path: join(this.dir, `${name}.png`), animations: 'disabled', ...options });
  }
}
