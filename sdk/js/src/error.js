// What can go wrong, in words for the person who can act on it.

const TITLES = {
  400: 'The request cannot be read',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  412: 'Conflict',
  413: 'Too large',
  422: 'Not valid',
  429: 'Too many requests',
};

/** An error: problem JSON (RFC 9457) over HTTP, the error of an action or of the platform otherwise. */
export class PlenumError extends Error {
  constructor(status, code, message, problems = []) {
    super(message);
    this.name = 'PlenumError';
    this.status = status;
    this.code = code;
    this.problems = problems;
  }

  /** 400: the request cannot be read. */
  static badRequest(code, message) {
    return new PlenumError(400, code, message);
  }

  /** 403: the person may not. */
  static forbidden(code, message) {
    return new PlenumError(403, code, message);
  }

  /** 404: there is no such thing. */
  static notFound(code, message) {
    return new PlenumError(404, code, message);
  }

  /** 409: somebody was faster, or it is there already. */
  static conflict(code, message) {
    return new PlenumError(409, code, message);
  }

  /** 500: it is the plugin's fault. */
  static internal(code, message) {
    return new PlenumError(500, code, message);
  }

  /** 422: one field is wrong, named by its JSON pointer. */
  static invalid(pointer, message) {
    return new PlenumError(422, 'request.invalid', message, [{ pointer, message }]);
  }

  /** 422: several fields are wrong. */
  static invalidFields(message, problems) {
    return new PlenumError(422, 'request.invalid', message, problems);
  }

  /** As problem JSON. */
  problem() {
    const body = { type: 'about:blank', title: TITLES[this.status] ?? 'Failed', status: this.status, code: this.code, detail: this.message };
    return this.problems.length ? { ...body, pointer: this.problems[0].pointer, errors: this.problems } : body;
  }

  /** The message with the place of each wrong field: what fits where there is one line of text only. */
  line() {
    const [first, ...more] = this.problems;
    if (first && !more.length && first.message === this.message && first.pointer) return `${first.pointer}: ${this.message}`;
    return [this.message, ...this.problems.filter((p) => p.message !== this.message).map((p) => `${p.pointer}: ${p.message}`)].join('; ');
  }

  toString() {
    return `${this.line()} (${this.code})`;
  }
}

/** Calls the host; its error, which is a plain object, becomes a PlenumError. */
export function ask(call) {
  try {
    return call();
  } catch (e) {
    const of = e?.payload ?? e;
    if (!(e instanceof PlenumError) && typeof of?.code === 'string' && typeof of?.status === 'number') {
      throw new PlenumError(of.status, of.code, of.message);
    }
    throw e;
  }
}

/** JSON text as a value. */
export function parse(text, what = 'the body') {
  try {
    return JSON.parse(text);
  } catch (e) {
    throw PlenumError.badRequest('request.json', `${what} is not JSON: ${e.message}`);
  }
}
