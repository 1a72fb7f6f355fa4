// What `plenum plugin build` does with a plugin's code before it becomes a component: makes one module of it and of the parts of the SDK that
// it uses, and tells which functions of the platform are left in it and what the plugin offers. Prints JSON.
//
//   node bundle.mjs DIR ENTRY SDK WORK ROLLDOWN
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [dir, entry, sdk, work, rolldownPath] = process.argv.slice(2);
const { rolldown } = await import(pathToFileURL(rolldownPath).href);

// The answer alone goes to the output; what the plugin prints when it is loaded goes elsewhere.
const print = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

const fail = (error) => {
  process.stderr.write(`${error?.message ?? error}\n`);
  process.exit(1);
};

/** Names of the SDK's modules, as its package.json exports them. */
const exported = JSON.parse(readFileSync(path.join(sdk, 'package.json'), 'utf8')).exports;

/** Where `@plenum/sdk` and the platform's interfaces are found. */
const platform = (native) => ({
  name: 'plenum',
  resolveId(id) {
    if (id === '@plenum/sdk' || id.startsWith('@plenum/sdk/')) {
      const target = exported[`.${id.slice('@plenum/sdk'.length)}`];
      if (!target) throw new Error(`${id} is not a module of the SDK; there are: ${Object.keys(exported).join(', ').replaceAll('./', '@plenum/sdk/')}`);
      return path.join(sdk, target.default ?? target);
    }
    if (id.startsWith('plenum:') || id.startsWith('wasi:')) {
      if (native) return path.join(sdk, 'src/testing/host', `${id.split('@')[0].replace(/[:/]/g, '-')}.js`);
      // The tool that makes the component knows these two by other names: see the build's own words.
      // Loading an interface does nothing: one of which no function is left is no import.
      return { id: id.replace(/^wasi:(http|io)\//, 'plnm:$1/'), external: true, moduleSideEffects: false };
    }
    if (id.startsWith('node:')) {
      throw new Error(`the plugin imports ${id}: a component is not Node.js. It has the SDK, and what is JavaScript itself`);
    }
    return null;
  },
});

async function bundle(input, output, native) {
  const made = await rolldown({ input, cwd: dir, platform: 'neutral', treeshake: true, logLevel: 'warn', plugins: [platform(native)], resolve: { mainFields: ['module', 'main'] } });
  const { output: files } = await made.write({ file: output, format: 'esm', minify: false, codeSplitting: false });
  await made.close();
  return files[0].code;
}

// First as this machine's Node.js runs it, on the fake platform: the plugin tells what it offers.
const native = path.join(work, 'native.mjs');
await bundle(entry, native, true).catch(fail);
const loaded = await import(`${pathToFileURL(native).href}?${process.hrtime.bigint()}`).catch((error) => {
  const place = String(error.stack).split('\n').find((line) => line.includes('native.mjs'));
  fail(`${entry} cannot be loaded: ${error.message}${place ? ` (${place.trim()})` : ''}`);
});
const offers = loaded.default?.offers?.();
if (!offers) fail(`the default export of ${entry} is no plugin; write \`export default definePlugin({ ... })\``);

// Then as the component runs it.
const parts = [
  ['http', offers.http, 'incomingHandler', 'http'],
  ['actions', offers.actions.length, 'actions', 'actions'],
  ['schedule', offers.schedules.length, 'schedule', 'schedule'],
  ['events', offers.events.length, 'events', 'events'],
  ['lifecycle', offers.lifecycle.length, 'lifecycle', 'lifecycle'],
  ['health', offers.health, 'health', 'health'],
].filter(([, there]) => there);
const start = path.join(work, 'start.js');
writeFileSync(
  start,
  [
    // First: what the language lacks, before the plugin's code is run.
    `import { reseed } from '@plenum/sdk/polyfills';`,
    `import plugin from ${JSON.stringify(entry)};`,
    ...parts.map(([file, , , make]) => `import { ${make} as make_${make} } from '@plenum/sdk/guest/${file}';`),
    ...parts.map(([, , name, make]) => `export const ${name} = make_${make}(plugin);`),
    // Last: what was drawn until now is in the component, and every instance would draw it again.
    'reseed();',
    '',
  ].join('\n'),
);
const code = await bundle(start, path.join(work, 'plugin.js'), false).catch(fail);

const uses = {};
const wasi = new Set();
for (const [, names, disguised] of code.matchAll(/^import\s*(\{[^}]*\}|[^'"]*?)\s*(?:from)?\s*["']([^"']+)["'];?$/gm)) {
  const from = disguised.replace(/^plnm:(http|io)\//, 'wasi:$1/');
  const [interface_, version] = from.split('@');
  if (interface_.startsWith('wasi:')) wasi.add(from);
  if (!interface_.startsWith('plenum:') || version === undefined) continue;
  for (const name of names.replace(/[{}]/g, '').split(',')) {
    const own = name.trim().split(/\s+as\s+/)[0];
    if (own) (uses[interface_] ??= new Set()).add(own.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`));
  }
}
// Without a permission: always there, whole.
for (const interface_ of ['plenum:log/log', 'plenum:plugin/context']) delete uses[interface_];
print(JSON.stringify({ uses: Object.fromEntries(Object.entries(uses).map(([k, v]) => [k, [...v].sort()])), wasi: [...wasi].sort(), offers }));
