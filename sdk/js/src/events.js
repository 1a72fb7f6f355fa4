// Events that the plugin publishes (permission `events.publish`). Those that it handles are named in `definePlugin`.
import { publish as wirePublish } from 'plenum:events/publisher@0.1.0';
import { ask } from './error.js';

/** Publishes an event of a type that the plugin's grant names. Its source is `/plugins/<id>`. At most 256 KiB of data. */
export function publish(type, subject, data) {
  ask(() => wirePublish(type, subject, JSON.stringify(data)));
}
