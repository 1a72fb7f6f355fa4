/** The building blocks of the language, each with what it begins as, and which of a task's values have which form. */
import type { ActionInfo, Json } from '../../../api/types';
import { isObject, type Schema } from '../../../components/SchemaForm';
import type { Key } from '../../../i18n';
import { KINDS, type Kind } from '../canvas/graph';

const STEP: Json = [{ step: { set: { done: true } } }];

export const BLOCKS: Record<Kind, Json> = {
  call: { call: 'http', with: { method: 'get', endpoint: 'https://example.com' } },
  set: { set: { value: '${ . }' } },
  switch: { switch: [{ yes: { when: '${ .value }', then: 'continue' } }, { no: { then: 'exit' } }] },
  for: { for: { each: 'item', in: '${ .items }' }, do: STEP },
  fork: { fork: { branches: [{ one: { set: { one: true } } }, { other: { set: { other: true } } }] } },
  try: { try: STEP, catch: { errors: { with: { status: 503 } }, retry: { delay: { seconds: 10 }, limit: { attempt: { count: 3 } } } } },
  do: { do: STEP },
  wait: { wait: { minutes: 1 } },
  listen: { listen: { to: { one: { with: { type: 'ops.done' } } } } },
  emit: { emit: { event: { with: { type: 'ops.done', source: 'urn:plenum:workflow' } } } },
  raise: { raise: { error: { type: 'https://serverlessworkflow.io/spec/1.0.0/errors/runtime', status: 500, title: 'It cannot go on' } } },
  run: { run: { workflow: { namespace: 'default', name: 'another', version: 'latest' } } },
};

/** What a call of this action begins as: the values that its schema has defaults for, or asks for. */
export function callOf(action: ActionInfo): Json {
  const input = exampleOf(action.input_schema, 0);
  return isObject(input) && Object.keys(input).length > 0 ? { call: action.name, with: input } : { call: action.name };
}

/** Something of this schema: its default, its first choice, or what is empty. Only what is required is filled in. */
export function exampleOf(schema: Json | undefined, depth = 0): Json {
  if (!isObject(schema)) return null;
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (Array.isArray(schema.examples) && schema.examples[0] !== undefined) return schema.examples[0];
  if (Array.isArray(schema.enum)) return schema.enum[0] ?? null;
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === 'object' || isObject(schema.properties)) {
    const required = Array.isArray(schema.required) ? schema.required : [];
    const properties = isObject(schema.properties) ? schema.properties : {};
    if (depth > 4) return {};
    return Object.fromEntries(Object.entries(properties).filter(([k]) => required.includes(k)).map(([k, s]) => [k, exampleOf(s, depth + 1)]));
  }
  if (type === 'array') return [];
  if (type === 'string') return '';
  if (type === 'boolean') return false;
  if (type === 'integer' || type === 'number') return typeof schema.minimum === 'number' ? schema.minimum : 0;
  return null;
}

/** The same with everything that has a type: what a rehearsal answers until somebody says something else. */
export function answerOf(action: ActionInfo | undefined): Json {
  if (action?.name === 'approval') return { decision: 'approved', votes: [], data: null };
  if (action?.name === 'job.run') return { execution: 'rehearsal', status: 'succeeded', summary: { total: 1, succeeded: 1 }, results: [] };
  const schema = action?.output_schema;
  if (!isObject(schema) || !isObject(schema.properties)) return {};
  return Object.fromEntries(Object.entries(schema.properties).map(([k, s]) => [k, exampleOf(s)]));
}

/** A part of a task that is a form of its own: where it lies, and its fields. `wide` is any JSON. */
export interface Part {
  path: string[];
  title: Key;
  schema: Schema | null;
}

const text = (en: string, zh: string, more: Partial<Schema> = {}): Schema => ({ type: 'string', title: { en, zh }, ...more });

const PARTS: Partial<Record<Kind, Part[]>> = {
  set: [{ path: ['set'], title: 'edit.data', schema: null }],
  for: [
    {
      path: ['for'],
      title: 'edit.loop',
      schema: {
        type: 'object',
        required: ['in'],
        properties: { in: text('Over which list', '遍历的列表', { format: 'expression' }), each: text('Name of the item', '元素变量名'), at: text('Name of its number', '序号变量名') },
      },
    },
    { path: [], title: 'edit.loop', schema: { type: 'object', properties: { while: text('Only while', '继续条件', { format: 'expression' }) } } },
  ],
  fork: [{ path: ['fork'], title: 'edit.branches', schema: { type: 'object', properties: { compete: { type: 'boolean', title: { en: 'The first to end wins', zh: '最先完成者胜出' } } } } }],
  wait: [{ path: ['wait'], title: 'edit.duration', schema: null }],
  raise: [
    {
      path: ['raise', 'error'],
      title: 'edit.error',
      schema: { type: 'object', required: ['type', 'status'], properties: { title: text('Title', '标题'), detail: text('Detail', '详情', { format: 'multiline' }), status: { type: 'integer', title: { en: 'Status', zh: '状态码' }, minimum: 100, maximum: 599 }, type: text('Type', '类型') } },
    },
  ],
  emit: [
    {
      path: ['emit', 'event', 'with'],
      title: 'edit.event',
      schema: { type: 'object', required: ['type', 'source'], properties: { type: text('Type', '类型'), source: text('Source', '来源'), subject: text('Subject', '主题'), data: { title: { en: 'Data', zh: '数据' } } } },
    },
  ],
  listen: [{ path: ['listen'], title: 'edit.events', schema: null }],
  run: [{ path: ['run'], title: 'edit.process', schema: null }],
  try: [
    { path: ['catch', 'errors', 'with'], title: 'edit.caught', schema: { type: 'object', properties: { status: { type: 'integer', title: { en: 'Status', zh: '状态码' } }, type: text('Type', '类型') } } },
    { path: ['catch', 'retry', 'limit', 'attempt'], title: 'edit.retry', schema: { type: 'object', properties: { count: { type: 'integer', minimum: 1, maximum: 1000, title: { en: 'Attempts', zh: '次数' } } } } },
    { path: ['catch', 'retry', 'delay'], title: 'edit.delay', schema: null },
  ],
};

export const partsOf = (kind: string): Part[] => PARTS[kind as Kind] ?? [];
export const BLOCK_KINDS = KINDS;
