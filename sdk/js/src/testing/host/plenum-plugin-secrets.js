// The fake's secrets.
import { state } from '../state.js';

export const get = (name) => state.secrets[name];
