// `node --import .../register.mjs --test`: finds the SDK without an installation, and puts the fake platform in the place of the host.
import { register } from 'node:module';

register('./resolve.mjs', import.meta.url);
