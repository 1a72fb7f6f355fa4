// As much of requests as the fake's outside needs.
const disposable = (object) => Object.assign(object, { [Symbol.dispose]() {} });

export class Fields {
  #entries = [];

  append(name, value) {
    this.#entries.push([name, value]);
  }

  entries() {
    return this.#entries;
  }
}

export class OutgoingBody {
  constructor(parts) {
    this.parts = parts;
  }

  write() {
    return disposable({ blockingWriteAndFlush: (part) => this.parts.push(...part) });
  }

  static finish() {}
}

export class OutgoingRequest {
  sent = [];

  setMethod(method) {
    this.method = method.tag === 'other' ? method.val : method.tag.toUpperCase();
  }

  setScheme(scheme) {
    this.scheme = scheme.tag.toLowerCase();
  }

  setAuthority(authority) {
    this.authority = authority;
  }

  setPathWithQuery(path) {
    this.path = path;
  }

  body() {
    return new OutgoingBody(this.sent);
  }
}
