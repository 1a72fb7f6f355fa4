// The fake's schedules.
import { allowed, copy } from '../state.js';

export function put(schedule) {
  allowed('workflow.run').schedules[schedule.name] = copy(schedule);
}

export function list() {
  const { schedules } = allowed('workflow.run');
  return Object.keys(schedules).sort().map((name) => copy(schedules[name]));
}

function remove(name) {
  delete allowed('workflow.run').schedules[name];
}
export { remove as delete };

export function nextTimes(cron, timezone, count) {
  return allowed('workflow.run').nextTimes.slice(0, Math.min(count, 20));
}
