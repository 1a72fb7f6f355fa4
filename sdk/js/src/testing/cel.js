// CEL over JSON, as the fake platform filters. A field that is absent is null, and what cannot be compared does not match.
//
// What it knows: == != < <= > >= && || ! in ?:, + - * / %, lists, has, size, startsWith, endsWith, contains, matches, exists, all, timestamp,
// int, double, string.
import { refuse } from './state.js';

const TOKEN = /\s*(?:(\d+\.\d+(?:[eE][+-]?\d+)?|\d+)u?|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|([A-Za-z_]\w*)|(&&|\|\||[=!<>]=|[-+*/%<>!?:.,()[\]]))/y;

/** Values that cannot be compared: the record does not match. */
class Mismatch extends Error {}
const mismatch = () => {
  throw new Mismatch();
};

/** A test of records; an empty filter passes all. */
export function filter(text) {
  if (!text.trim()) return () => true;
  const node = new Parser(text).whole();
  return (record) => {
    try {
      return node(record) === true;
    } catch (e) {
      if (e instanceof Mismatch) return false;
      throw e;
    }
  };
}

const truth = (v) => (typeof v === 'boolean' ? v : mismatch());
const number = (v) => (typeof v === 'number' ? v : mismatch());
const list = (v) => (Array.isArray(v) ? v : mismatch());
const texts = (f) => (a, b) => (typeof a === 'string' && typeof b === 'string' ? f(a, b) : mismatch());
const size = (v) => (typeof v === 'string' ? [...v].length : Array.isArray(v) ? v.length : v && typeof v === 'object' ? Object.keys(v).length : mismatch());
const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
const ordered = (f) => (a, b) => (typeof a === 'string' && typeof b === 'string' ? f(a, b) : f(number(a), number(b)));
const index = (of, key) => {
  if (of === null || of === undefined) return null;
  if (Array.isArray(of)) return Number.isInteger(key) && key >= 0 && key < of.length ? of[key] : mismatch();
  return typeof of === 'object' ? (Object.hasOwn(of, key) ? of[key] : null) : mismatch();
};
const divide = (a, b) => {
  if (number(b) === 0) mismatch();
  return Number.isInteger(number(a)) && Number.isInteger(b) ? Math.trunc(a / b) : a / b;
};

const RELATIONS = {
  '==': same,
  '!=': (a, b) => !same(a, b),
  '<': ordered((a, b) => a < b),
  '<=': ordered((a, b) => a <= b),
  '>': ordered((a, b) => a > b),
  '>=': ordered((a, b) => a >= b),
  in: (a, b) => (Array.isArray(b) ? b.some((v) => same(a, v)) : b && typeof b === 'object' ? Object.hasOwn(b, a) : mismatch()),
};
const SUMS = { '+': (a, b) => (typeof a === 'string' && typeof b === 'string' ? a + b : number(a) + number(b)), '-': (a, b) => number(a) - number(b) };
const PRODUCTS = { '*': (a, b) => number(a) * number(b), '/': divide, '%': (a, b) => number(a) - divide(Math.trunc(a), Math.trunc(number(b))) * b };
const METHODS = {
  startsWith: texts((a, b) => a.startsWith(b)),
  endsWith: texts((a, b) => a.endsWith(b)),
  contains: texts((a, b) => a.includes(b)),
  matches: texts((a, b) => new RegExp(b, 'u').test(a)),
};
const FUNCTIONS = {
  has: (v) => v !== null && v !== undefined,
  size,
  timestamp: (v) => {
    const ms = typeof v === 'number' ? v : Date.parse(v);
    return Number.isNaN(ms) ? mismatch() : ms;
  },
  int: (v) => Math.trunc(typeof v === 'string' ? Number(v) : number(v)),
  double: (v) => Number(v),
  string: (v) => (typeof v === 'string' ? v : JSON.stringify(v)),
};
const CONSTANTS = { true: true, false: false, null: null };

const binary = (f, a, b) => (e) => f(a(e), b(e));

class Parser {
  constructor(text) {
    this.text = text;
    this.tokens = [];
    for (let at = 0; text.slice(at).trim(); ) {
      TOKEN.lastIndex = at;
      const m = TOKEN.exec(text);
      if (!m) this.fail(at, 'this is not CEL');
      at = TOKEN.lastIndex;
      const kind = ['number', 'text', 'name', 'sign'].find((_, i) => m[i + 1] !== undefined);
      const token = m[1] ?? m[2] ?? m[3] ?? m[4];
      this.tokens.push({ kind, token, at: at - token.length });
    }
    this.at = 0;
  }

  fail(at, what) {
    refuse(422, 'filter.syntax', `the filter ${JSON.stringify(this.text)} is not CEL: ${what} at position ${at}`);
  }

  peek() {
    const found = this.tokens[this.at];
    return found && found.kind !== 'text' ? found.token : '';
  }

  take(sign) {
    if (this.peek() !== sign) return false;
    this.at += 1;
    return true;
  }

  need(sign) {
    if (!this.take(sign)) this.fail(this.tokens[this.at]?.at ?? this.text.length, `'${sign}' is missing`);
  }

  next() {
    const found = this.tokens[this.at] ?? this.fail(this.text.length, 'it ends too early');
    this.at += 1;
    return found.token;
  }

  whole() {
    const node = this.choice();
    const rest = this.tokens[this.at];
    if (rest) this.fail(rest.at, `'${rest.token}' is not expected`);
    return node;
  }

  choice() {
    const condition = this.either();
    if (!this.take('?')) return condition;
    const yes = this.either();
    this.need(':');
    const no = this.choice();
    return (e) => (truth(condition(e)) ? yes(e) : no(e));
  }

  either() {
    let node = this.both();
    while (this.take('||')) {
      const [a, b] = [node, this.both()];
      node = (e) => truth(a(e)) || truth(b(e));
    }
    return node;
  }

  both() {
    let node = this.relation();
    while (this.take('&&')) {
      const [a, b] = [node, this.relation()];
      node = (e) => truth(a(e)) && truth(b(e));
    }
    return node;
  }

  chain(table, below) {
    let node = below();
    while (Object.hasOwn(table, this.peek())) node = binary(table[this.next()], node, below());
    return node;
  }

  relation() {
    return this.chain(RELATIONS, () => this.chain(SUMS, () => this.chain(PRODUCTS, () => this.unary())));
  }

  unary() {
    if (this.take('!')) {
      const node = this.unary();
      return (e) => !truth(node(e));
    }
    if (this.take('-')) {
      const node = this.unary();
      return (e) => -number(node(e));
    }
    return this.member();
  }

  member() {
    let node = this.primary();
    for (;;) {
      if (this.take('.')) {
        const name = this.next();
        node = this.take('(') ? this.method(node, name) : binary(index, node, () => name);
      } else if (this.take('[')) {
        const key = this.choice();
        this.need(']');
        node = binary(index, node, key);
      } else return node;
    }
  }

  method(of, name) {
    if (name === 'exists' || name === 'all') {
      const variable = this.next();
      this.need(',');
      const condition = this.choice();
      this.need(')');
      const every = name === 'exists' ? 'some' : 'every';
      return (e) => list(of(e))[every]((v) => truth(condition({ ...e, [variable]: v })));
    }
    const values = this.values(')');
    if (name === 'size' && !values.length) return (e) => size(of(e));
    if (!Object.hasOwn(METHODS, name) || values.length !== 1) this.fail(this.tokens[this.at - 1].at, `there is no function '${name}' of this form`);
    return binary(METHODS[name], of, values[0]);
  }

  values(end) {
    const out = [];
    while (!this.take(end)) {
      if (out.length) this.need(',');
      out.push(this.choice());
    }
    return out;
  }

  primary() {
    const { kind, token, at } = this.tokens[this.at] ?? this.fail(this.text.length, 'it ends too early');
    this.at += 1;
    if (kind === 'number') return () => Number(token);
    if (kind === 'text') {
      const text = unquoted(token);
      return () => text;
    }
    if (kind === 'name') return this.name(token, at);
    if (token === '(') {
      const node = this.choice();
      this.need(')');
      return node;
    }
    if (token === '[') {
      const parts = this.values(']');
      return (e) => parts.map((p) => p(e));
    }
    return this.fail(at, `'${token}' is not expected`);
  }

  name(name, at) {
    if (Object.hasOwn(CONSTANTS, name)) return () => CONSTANTS[name];
    if (!this.take('(')) return (e) => (Object.hasOwn(e, name) ? e[name] : null);
    const values = this.values(')');
    if (!Object.hasOwn(FUNCTIONS, name) || values.length !== 1) this.fail(at, `there is no function '${name}' of this form`);
    return (e) => FUNCTIONS[name](values[0](e));
  }
}

function unquoted(token) {
  let inner = token.slice(1, -1);
  if (token[0] === "'") inner = inner.replace(/\\.|"/g, (m) => ({ '"': '\\"', "\\'": "'" })[m] ?? m);
  return JSON.parse(`"${inner}"`);
}
