/** What an expression of a task can name: the data that reaches it, and the variables around it. As far as the text tells. */
import type { ActionInfo, Json } from '../../../api/types';
import { isObject, type Obj } from '../../../components/SchemaForm';
import { partsOf, placeOf } from './edits';

export interface Name {
  text: string;
  /** What it is, for the reader: the task or variable that it comes from. */
  from: string;
}

const FUNCTIONS = ['length', 'map(.)', 'select(.)', 'keys', 'first', 'last', 'sort_by(.)', 'group_by(.)', 'unique', 'add', 'join(", ")', 'tostring', 'tonumber', 'test("")', 'has("")', 'any', 'all', 'now', 'todate', 'not'];

function pointerIn(value: Json, pointer: string): Json | undefined {
  let at: Json | undefined = value;
  for (const part of partsOf(pointer)) {
    if (Array.isArray(at)) at = at[Number(part)];
    else if (isObject(at)) at = at[part];
    else return undefined;
  }
  return at;
}

/** Names of the fields that a schema promises, two deep. */
export function fieldsOf(schema: Json | undefined, prefix = '.', depth = 0): string[] {
  if (!isObject(schema) || !isObject(schema.properties) || depth > 1) return [];
  return Object.entries(schema.properties).flatMap(([name, s]) => {
    const own = /^[A-Za-z_]\w*$/.test(name) ? `${prefix}${prefix.endsWith('.') ? '' : '.'}${name}` : `${prefix}["${name}"]`;
    return [own, ...fieldsOf(s, own, depth + 1)];
  });
}

/** What the host's own actions answer, where they have no schema that says so. */
const ANSWERS: Record<string, string[]> = {
  'cmdb.query': ['.items', '.total', '.next_cursor'],
  'cmdb.get': ['.id', '.version', '.attributes'],
  'cmdb.create': ['.id', '.version', '.attributes'],
  'cmdb.update': ['.id', '.version', '.attributes'],
  'job.run': ['.status', '.summary', '.results', '.execution', '.duration_ms'],
  approval: ['.decision', '.votes', '.data'],
};

/** What is known of a task's output. */
function outputOf(task: Json | undefined, actions: readonly ActionInfo[]): string[] {
  if (!isObject(task)) return [];
  if (isObject(task.output) && task.output.as !== undefined) return isObject(task.output.as) ? Object.keys(task.output.as).map((k) => `.${k}`) : [];
  if (typeof task.call === 'string') {
    const promised = fieldsOf(actions.find((a) => a.name === task.call)?.output_schema);
    return promised.length > 0 ? promised : (ANSWERS[task.call] ?? []);
  }
  if (isObject(task.set)) return Object.keys(task.set).map((k) => `.${k}`);
  return [];
}

/** Passes its input on. */
const passes = (task: Json | undefined) => isObject(task) && ('switch' in task || 'wait' in task);

export function scopeOf(definition: Json, pointer: string, actions: readonly ActionInfo[]): Name[] {
  const out: Name[] = [];
  const seen = new Set<string>();
  const say = (text: string, from: string) => {
    if (!seen.has(text)) out.push({ text, from });
    seen.add(text);
  };
  const place = placeOf(pointer);
  if (place) {
    const list = pointerIn(definition, place.list);
    const before = Array.isArray(list) ? list.slice(0, place.index).reverse() : [];
    let reached = false;
    for (const item of before) {
      const [name, task] = (isObject(item) ? Object.entries(item)[0] : undefined) ?? [];
      if (name === undefined || passes(task)) continue;
      for (const f of outputOf(task, actions)) say(f, name);
      reached = true;
      break;
    }
    if (!reached && place.list === '/do' && isObject(definition)) {
      const schema = isObject(definition.input) && isObject(definition.input.schema) ? definition.input.schema.document : undefined;
      for (const f of fieldsOf(schema)) say(f, 'input');
    }
  }
  // Variables of what is around it.
  const parts = pointer.split('/');
  for (let n = parts.length - 1; n > 2; n -= 1) {
    const around = pointerIn(definition, parts.slice(0, n).join('/'));
    if (!isObject(around)) continue;
    const inside = parts[n];
    if (isObject(around.for) && inside === 'do') {
      const f: Obj = around.for;
      say(`$${typeof f.each === 'string' ? f.each.replace(/^\$/, '') : 'item'}`, 'for');
      say(`$${typeof f.at === 'string' ? f.at.replace(/^\$/, '') : 'index'}`, 'for');
    }
    if ('try' in around && inside === 'catch') say(`$${isObject(around.catch) && typeof around.catch.as === 'string' ? around.catch.as.replace(/^\$/, '') : 'error'}`, 'catch');
    if (isObject(around.foreach) && inside === 'foreach') say(`$${typeof around.foreach.item === 'string' ? around.foreach.item.replace(/^\$/, '') : 'item'}`, 'listen');
  }
  for (const [v, from] of [['.', 'data'], ['$context', 'context'], ['$input', 'input'], ['$output', 'output'], ['$task', 'task'], ['$workflow', 'workflow'], ['$runtime', 'runtime']] as const) say(v, from);
  for (const f of FUNCTIONS) say(f, 'jq');
  return out;
}

/** The word that is being written at `caret`, and what of the names begins so. */
export function completions(text: string, caret: number, names: readonly Name[]): { from: number; names: Name[] } {
  const word = /[$.\w[\]"]*$/.exec(text.slice(0, caret))?.[0] ?? '';
  const lower = word.toLowerCase();
  const found = names.filter((n) => n.text.toLowerCase().startsWith(lower) && n.text !== word);
  return { from: caret - word.length, names: found };
}

export const isExpression = (v: unknown): v is string => typeof v === 'string' && /^\s*\$\{[\s\S]*\}\s*$/.test(v);
export const inner = (v: string) => v.trim().replace(/^\$\{\s*/, '').replace(/\s*\}$/, '');
