// The fake's figures.
import { state } from '../state.js';

const record = (kind, name, labels, value) => {
  state.figures.push({ kind, name, labels: Object.fromEntries(labels), value });
};

export const add = (name, labels, by) => record('counter', name, labels, by);
export const set = (name, labels, value) => record('gauge', name, labels, value);
export const observe = (name, labels, value) => record('histogram', name, labels, value);
