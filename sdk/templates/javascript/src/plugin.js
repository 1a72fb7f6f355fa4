// Counts the hosts of the CMDB by operating system, and keeps notes about them.
import { PlenumError, Response, Router, cel, clock, cmdb, definePlugin, log, random, store } from '@plenum/sdk';

/** @typedef {{ text: string, author: string, created_at: number }} Note */

/** @type {store.Collection<Note>} */
const NOTES = new store.Collection('notes');

const router = new Router()
  // How many hosts there are of each operating system.
  .get('/summary', () => {
    /** @type {Record<string, number>} */
    const counts = {};
    for (const host of cmdb.query('host').all()) {
      const os = String(host.attributes.os_id ?? 'unknown');
      counts[os] = (counts[os] ?? 0) + 1;
    }
    return counts;
  })
  .get('/notes', (request) => NOTES.query({ sort: '-created_at', limit: 50, cursor: request.query('cursor') }).page())
  .post('/notes', (request) => {
    const author = request.writer();
    const { text } = request.json({ text: 'string' });
    if (!text.trim()) throw PlenumError.invalid('/text', 'a note needs a text');
    const id = random.id();
    NOTES.insert(id, { text, author: author.name, created_at: clock.now() });
    return Response.json(NOTES.require(id), 201);
  })
  .delete('/notes/{id}', (request) => {
    request.writer();
    NOTES.delete(request.param('id'));
  });

/** The action: input and output fit the schemas in `schemas/`.
 * @param {{ os_id: string }} input */
function count({ os_id }) {
  // `cel` quotes what somebody typed, so that it stays a text.
  const hosts = cmdb.query('host', { filter: `os_id == ${cel(os_id)}` }).count();
  log.info('counted', { os_id, hosts });
  return { hosts };
}

// What the plugin offers. Routes are for its page, actions for workflows.
export default definePlugin({ http: router, actions: { count } });
