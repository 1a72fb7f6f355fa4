// What the plugin offers.
import { PlenumError, parse } from './error.js';
import { Response } from './http.js';
import * as log from './log.js';

/** Says what the plugin offers; the component exports exactly that. Each key is optional.
 *
 * | key | value |
 * |---|---|
 * | http | a Router |
 * | actions | { name: (input) => output } |
 * | events | (event) => {} |
 * | schedules | { id: (due) => {} } |
 * | lifecycle | { install() {}, upgrade(from) {}, uninstall() {} } |
 * | health | () => {}: says whether the plugin is well after an upgrade; what it throws brings the version before back |
 */
export function definePlugin(definition) {
  const known = ['http', 'actions', 'events', 'schedules', 'lifecycle', 'health'];
  const unknown = Object.keys(definition).filter((key) => !known.includes(key));
  if (unknown.length) throw new TypeError(`definePlugin does not know ${unknown.join(', ')}; it knows ${known.join(', ')}`);
  return new Plugin(definition);
}

class Plugin {
  constructor({ http = null, actions = {}, events = null, schedules = {}, lifecycle = {}, health = null }) {
    Object.assign(this, { http, actions, events, schedules, lifecycle, health });
  }

  /** Answers a request. Whatever goes wrong in a handler becomes an answer. */
  handle(request) {
    let response;
    try {
      if (!this.http) throw PlenumError.notFound('plugin.no_route', 'the plugin answers no requests');
      response = Response.of(this.http.answer(request));
    } catch (e) {
      response = Response.error(failure(e));
    }
    if (request.method === 'HEAD') response.body = new Uint8Array();
    return response;
  }

  /** Carries an action out: its input and output are JSON text. */
  call(name, input) {
    const f = own(this.actions, name);
    if (!f) throw PlenumError.notFound('plugin.no_action', `there is no action ${JSON.stringify(name)}; there are: ${Object.keys(this.actions).join(', ') || 'none'}`);
    return JSON.stringify(awaited(f(parse(input, 'the input')))) ?? 'null';
  }

  /** Hands an event over. */
  deliver(event) {
    if (this.events) awaited(this.events(parse(event, 'the event')));
  }

  /** A schedule is due. */
  fire(id, due) {
    const f = own(this.schedules, id);
    if (!f) throw PlenumError.notFound('plugin.no_schedule', `there is no schedule ${JSON.stringify(id)}; there are: ${Object.keys(this.schedules).join(', ') || 'none'}`);
    awaited(f(Number(due)));
  }

  /** A turn of the plugin's life. */
  turn(hook, ...values) {
    if (this.lifecycle[hook]) awaited(this.lifecycle[hook](...values));
  }

  /** Says whether it is well. */
  check() {
    if (this.health) awaited(this.health());
  }

  /** What the component has to export. */
  offers() {
    return {
      http: this.http !== null,
      actions: Object.keys(this.actions).sort(),
      schedules: Object.keys(this.schedules).sort(),
      events: this.events ? ['*'] : [],
      lifecycle: Object.keys(this.lifecycle).sort(),
      health: this.health !== null,
    };
  }
}

const own = (functions, name) => (Object.hasOwn(functions, name) ? functions[name] : null);

function awaited(answer) {
  if (typeof answer?.then === 'function') {
    throw PlenumError.internal('plugin.async', 'a function of the plugin is async; calls of the platform answer at once, so leave async and await out');
  }
  return answer;
}

/** What was thrown, as an error: the SDK's own as they are, others with their place in the log, not in the answer. */
export function failure(e) {
  if (e instanceof PlenumError) {
    if (e.status >= 500) log.error(e.line(), { code: e.code });
    return e;
  }
  const stack = String(e?.stack ?? '').split('\n').map((l) => l.trim()).filter(Boolean);
  log.error(`threw: ${e instanceof Error ? `${e.name}: ${e.message}` : String(e)}`, { stack: stack.slice(0, 20) });
  return PlenumError.internal('plugin.exception', 'the plugin failed at this; its log has the reason');
}
