// Brings teams from another system into the CMDB.
import { cel, cmdb, context, definePlugin, log, outgoing } from '@plenum/sdk';

/** The action: input and output fit the schemas in `schemas/`. Done twice it changes nothing more, so it may be tried again. */
function sync() {
  const token = context.secret('token');
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  /** @type {{ name: string, email?: string }[]} */
  const teams = outgoing.get(context.settings().url, { headers }).success().json();
  let created = 0;
  let updated = 0;
  for (const { name, email = null } of teams) {
    // `cel` quotes what somebody typed, so that it stays a text.
    const [found] = cmdb.query('team', { filter: `name == ${cel(name)}`, limit: 1 }).page().items;
    if (!found) {
      cmdb.create('team', { name, email }, 'from the other system');
      created += 1;
    } else if ((found.attributes.email ?? null) !== email) {
      cmdb.update('team', found.id, { email }, { why: 'from the other system' });
      updated += 1;
    }
  }
  const done = { seen: teams.length, created, updated };
  log.info('brought the teams', done);
  return done;
}

// What the plugin offers.
export default definePlugin({ actions: { sync } });
