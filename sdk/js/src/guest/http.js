// The export `wasi:http/incoming-handler`; not for plugins.
import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.0';
import { PlenumError } from '../error.js';
import { Request, Response } from '../http.js';
import * as log from '../log.js';
import { failure } from '../plugin.js';
import { decodeText, encodeText } from '../text.js';

/** Requests have drafts and small files in them, nothing larger. */
const MAX_BODY = 8 << 20;

export const http = (plugin) => ({
  handle(request, out) {
    let answer;
    try {
      answer = plugin.handle(read(request));
    } catch (e) {
      answer = Response.error(failure(e));
    }
    respond(answer, out);
  },
});

function read(request) {
  const method = request.method();
  const headers = {};
  const fields = request.headers();
  for (const [name, value] of fields.entries()) {
    const key = name.toLowerCase();
    const text = decodeText(Uint8Array.from(value));
    headers[key] = key in headers ? `${headers[key]}, ${text}` : text;
  }
  const name = method.tag === 'other' ? method.val : method.tag;
  return new Request(name, request.pathWithQuery() ?? '', headers, body(request));
}

function body(request) {
  const parts = [];
  let size = 0;
  const incoming = request.consume();
  const stream = incoming.stream();
  for (;;) {
    let part;
    try {
      part = stream.blockingRead(64 * 1024);
    } catch (e) {
      if ((e?.payload ?? e)?.tag === 'closed') break;
      throw PlenumError.badRequest('request.body', "the request's body could not be read: send it again");
    }
    parts.push(part);
    size += part.length;
    if (size > MAX_BODY) throw new PlenumError(413, 'request.body', `the body is larger than ${MAX_BODY} bytes`);
  }
  const whole = new Uint8Array(size);
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  // The stream belongs to the body, the body to the request: each goes before what it belongs to.
  stream[Symbol.dispose]();
  incoming[Symbol.dispose]();
  return whole;
}

function respond(answer, out) {
  const fields = new Fields();
  for (const [name, value] of Object.entries(answer.headers)) {
    try {
      fields.append(name, encodeText(value));
    } catch {
      log.warn(`the header ${name} was not sent: its name or value is not valid`);
    }
  }
  const response = new OutgoingResponse(fields);
  try {
    response.setStatusCode(answer.status);
  } catch {
    log.error(`${answer.status} is not an HTTP status; 200 was sent`);
  }
  const outgoing = response.body();
  ResponseOutparam.set(out, { tag: 'ok', val: response });
  const stream = outgoing.write();
  try {
    for (let at = 0; at < answer.body.length; at += 4096) stream.blockingWriteAndFlush(answer.body.subarray(at, at + 4096));
  } catch {
    // The caller has gone: nobody is left to tell.
    return;
  }
  stream[Symbol.dispose]();
  OutgoingBody.finish(outgoing, null);
}
