// The plugin's schedules, by a name of its own choosing: `workflow.schedules`. Takes the permission `workflow.run`.
import { delete as wireDelete, list as wireList, nextTimes as wireNextTimes, put as wirePut } from 'plenum:workflow/schedules@0.1.0';
import { ask } from './error.js';

/** Makes or replaces the schedule of this name. */
export function put({ name, cron, workflow, input = {}, timezone = 'UTC', enabled = true }) {
  ask(() => wirePut({ name, cron, timezone, workflow, input: JSON.stringify(input), enabled }));
}

/** All schedules of the plugin. */
export function list() {
  return ask(() => wireList()).map((s) => ({ ...s, input: JSON.parse(s.input) }));
}

/** Removes a schedule; none there is fine. */
export function remove(name) {
  ask(() => wireDelete(name));
}

/** The next times of a cron expression, RFC 3339 with offset; at most 20. */
export function nextTimes(cron, timezone = 'UTC', count = 5) {
  return ask(() => wireNextTimes(cron, timezone, count));
}
