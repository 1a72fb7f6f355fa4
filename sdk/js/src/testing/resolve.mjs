// Where Node.js finds `@plenum/sdk` and the platform's interfaces.
import { readFileSync } from 'node:fs';

const sdk = new URL('../../', import.meta.url);
const { exports } = JSON.parse(readFileSync(new URL('package.json', sdk), 'utf8'));

export async function resolve(specifier, context, next) {
  if (specifier === '@plenum/sdk' || specifier.startsWith('@plenum/sdk/')) {
    const target = exports[`.${specifier.slice('@plenum/sdk'.length)}`];
    if (target) return { url: new URL(target.default ?? target, sdk).href, shortCircuit: true };
  }
  if (specifier.startsWith('plenum:') || specifier.startsWith('wasi:')) {
    const file = `${specifier.split('@')[0].replace(/[:/]/g, '-')}.js`;
    return { url: new URL(`src/testing/host/${file}`, sdk).href, shortCircuit: true };
  }
  return next(specifier, context);
}
