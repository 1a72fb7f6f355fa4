// The plugin's log, shown on its page in the portal. Needs no permission. At most 1,000 lines and 256 KiB a call. `console` ends here too.
import { write } from 'plenum:log/log@0.1.0';

function line(level, message, fields) {
  let text = '';
  try {
    // A log must not fail: fields that have no JSON are left out.
    if (fields && Object.keys(fields).length) text = JSON.stringify(fields);
  } catch {
    text = '';
  }
  write(level, String(message), text);
}

/** Writes a line for whoever looks for a fault. */
export const debug = (message, fields) => line('debug', message, fields);
/** Writes a line about what happened. */
export const info = (message, fields) => line('info', message, fields);
/** Writes a line about what should not have happened, and was borne. */
export const warn = (message, fields) => line('warn', message, fields);
/** Writes a line about what failed. */
export const error = (message, fields) => line('error', message, fields);
