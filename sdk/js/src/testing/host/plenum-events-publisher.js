// The fake's events.
import { allowed, nextId, refuse, state } from '../state.js';

export function publish(type, subject, data) {
  allowed('events.publish');
  if (!type || type.startsWith('plenum.')) {
    refuse(422, 'plugin.invalid', `${JSON.stringify(type)} cannot be the type of a plugin's event: plenum. is the platform's own`);
  }
  state.events.push({ id: nextId('event'), type, source: '/plugins/fake', subject, time: new Date(state.now).toISOString(), data: JSON.parse(data) });
}
