import { h } from './dom.js';
import { t, when } from './i18n.js';

export const LEVELS = ['fatal', 'warning', 'notification'];
const NAMES = { fatal: 'Fatal', warning: 'Warning', notification: 'Notification', ok: 'OK', skipped: 'Skipped', not_applicable: 'Not applicable', error: 'Not evaluated' };
// A letter beside the colour: levels must be told apart without colours too.
const MARKS = { fatal: '✕', warning: '!', notification: 'i', ok: '✓', skipped: '–', not_applicable: '·', error: '?' };

export function tag(status) {
  return h('span', { class: `tag ${status}` }, h('span', { class: 'mark', 'aria-hidden': 'true' }, MARKS[status] || ''), t(NAMES[status] || status));
}

export function counts(c) {
  const parts = LEVELS.filter((level) => c[level] > 0);
  if (!parts.length) return h('span', { class: 'muted' }, t('No findings'));
  return h('span', { class: 'counts' }, parts.map((level) => h('span', { class: `n ${level}`, title: t(NAMES[level]) },
    h('span', { class: 'mark', 'aria-hidden': 'true' }, MARKS[level]), c[level], h('span', { class: 'sr' }, ` ${t(NAMES[level])}`))));
}

export function scoreClass(score) {
  return score === null || score === undefined ? 'none' : score >= 90 ? 'good' : score >= 70 ? 'fair' : score >= 50 ? 'poor' : 'bad';
}

export function score(value) {
  return h('span', { class: `score ${scoreClass(value)}` }, value ?? '–');
}

export function gauge(value) {
  const r = 52; const all = 2 * Math.PI * r; const part = ((value ?? 0) / 100) * all;
  return h('div', { class: `gauge ${scoreClass(value)}`, role: 'img', 'aria-label': `${t('Score')}: ${value ?? '–'} ${t('of 100')}` },
    h('svg', { viewBox: '0 0 120 120', 'aria-hidden': 'true' },
      h('circle', { cx: 60, cy: 60, r, class: 'track' }),
      h('circle', { cx: 60, cy: 60, r, class: 'arc', 'stroke-dasharray': `${part} ${all - part}`, transform: 'rotate(-90 60 60)' })),
    h('div', { class: 'inside', 'aria-hidden': 'true' }, h('b', {}, value ?? '–'), h('small', {}, t('of 100'))));
}

/** The scores over time. Points are links, so the keyboard reaches each report. */
export function trend(points, open) {
  const W = 640; const H = 140; const L = 40; const R = 10; const T = 10; const B = 20;
  const known = points.filter((p) => p.score !== null && p.score !== undefined);
  const x = (i) => (known.length < 2 ? (L + W - R) / 2 : L + (i * (W - L - R)) / (known.length - 1));
  const y = (s) => T + ((100 - s) * (H - T - B)) / 100;
  return h('svg', { viewBox: `0 0 ${W} ${H}`, class: 'trend', role: 'group', 'aria-label': t('Trend') },
    [0, 50, 100].map((s) => [h('line', { x1: L, x2: W - R, y1: y(s), y2: y(s), class: 'grid' }), h('text', { x: L - 6, y: y(s) + 4, class: 'axis', 'text-anchor': 'end' }, s)]),
    h('polyline', { class: 'line', points: known.map((p, i) => `${x(i)},${y(p.score)}`).join(' ') }),
    known.map((p, i) => {
      const label = `${when(p.at)}: ${p.score}`;
      return h('g', { class: 'pt', tabindex: 0, role: 'link', 'aria-label': label, onclick: () => open(p.id), onkeydown: (e) => { if (e.key === 'Enter') open(p.id); } },
        h('title', {}, label), h('circle', { cx: x(i), cy: y(p.score), r: 12, class: 'hit' }), h('circle', { cx: x(i), cy: y(p.score), r: 4, class: `dot ${scoreClass(p.score)}` }));
    }),
    known.length > 0 && h('text', { x: L, y: H - 4, class: 'axis' }, when(known[0].at)),
    known.length > 1 && h('text', { x: W - R, y: H - 4, class: 'axis', 'text-anchor': 'end' }, when(known.at(-1).at)));
}
