import { cleanup, configure } from '@testing-library/react';
import { afterEach } from 'vitest';

// A machine may be busy: what comes late has come all the same.
configure({ asyncUtilTimeout: 10_000 });

// What antd asks of a browser and jsdom lacks.
window.matchMedia ??= ((query: string) => ({ matches: false, media: query, addEventListener() {}, removeEventListener() {}, addListener() {}, removeListener() {}, onchange: null, dispatchEvent: () => false })) as typeof window.matchMedia;
globalThis.ResizeObserver ??= class {
  observe() {}
  unobserve() {}
  disconnect() {}
} as typeof ResizeObserver;
window.scrollTo = () => {};

afterEach(() => {
  cleanup();
  localStorage.clear();
});
// jsdom reads every style sheet anew for each element that is asked about, which takes most of a page's test; what tests look at is in the element itself.
window.getComputedStyle = (element: Element) => (element as HTMLElement).style;
