// Tries each way out of the frame; what got through stands in #said, for the test to read.
const tries = {
  'parent window': () => parent.document.title,
  'parent storage': () => parent.localStorage.length,
  'top document': () => top.document.body.innerHTML.length,
  'cookies': () => document.cookie || 'none',
  'set a cookie': () => {
    document.cookie = 'stolen=1';
    return document.cookie || 'none';
  },
  'storage': () => localStorage.length,
  'databases': () => indexedDB.open('x'),
  'top navigation': () => {
    top.location = 'https://example.com/';
    return 'asked';
  },
  'a new window': () => {
    const w = open('/admin/users');
    return w ? 'opened' : 'none';
  },
  'an inline script': () => window.inline ?? 'none',
  'text as a program': () => new Function('return 1')(),
};
const later = {
  "the portal's API": async () => (await fetch('/api/v1/session')).status,
  "the portal's API with the session": async () => (await fetch('/api/v1/session', { credentials: 'include' })).status,
  'the outside': async () => (await fetch('https://example.com/')).status,
  // It says that it took the message, whatever becomes of it: what leaves the browser is watched by the test.
  'a beacon': async () => (navigator.sendBeacon('https://example.com/', 'x'), 'none'),
  'a worker of its own': async () => (await navigator.serviceWorker.register('attack.js')).scope,
  "another plugin through the bridge": async () => (await (await plenum.connect()).http.get('/../../inspection-center/http/inspections')).status,
  "the portal's API through the bridge": async () => (await (await plenum.connect()).http.get('//api/v1/users')).status,
  // A request to the portal that it does not answer: where the reader is afterwards is what the test looks at.
  'elsewhere through the bridge': async () => ((await plenum.connect()).navigate('https://example.com/'), 'none'),
};
const said = {};
(async () => {
  for (const [name, f] of Object.entries({ ...tries, ...later })) {
    try {
      const within = new Promise((_, no) => setTimeout(() => no(new Error('no answer')), 5000));
      said[name] = { got: String(await Promise.race([f(), within])) };
    } catch (e) {
      said[name] = { refused: String(e && e.message ? e.message : e) };
    }
  }
  document.getElementById('said').textContent = JSON.stringify(said);
})();
