// The fake's log.
import { state } from '../state.js';

export function write(level, message, fields) {
  state.log.push({ level, message, fields: fields ? JSON.parse(fields) : {} });
}
