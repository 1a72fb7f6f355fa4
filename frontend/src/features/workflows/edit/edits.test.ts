import { describe, expect, it } from 'vitest';
import { graphOf } from '../canvas/graph';
import { addTask, CannotEdit, duplicateTask, freeName, habits, moveTask, placeOf, removeTask, renameTask, setValue, valueAt } from './edits';
import { steps } from './history';
import { completions, fieldsOf, inner, isExpression, scopeOf } from './scope';

const TEXT = `# What this is for.
document: { dsl: 1.0.0, namespace: ops, name: x, version: 0.1.0 }
do:
  # First of all.
  - plan:
      call: cmdb.query   # asks the CMDB
      with: { model: host, filter: 'status == "online"' }

  - each:
      for: { each: host, in: .items }
      do:
        - work: { call: job.run, then: rest }
        - rest: { set: { a: 1 } } # done
  # Then the choice.
  - ask:
      switch:
        - no: { when: .x, then: plan }
        - yes: { then: end }
`;
/** The lines that an edit changed. */
const changed = (after: string, before = TEXT) => {
  const [a, b] = [before.split('\n'), after.split('\n')];
  return { gone: a.filter((l) => !b.includes(l)), come: b.filter((l) => !a.includes(l)) };
};

describe('edits of the text', () => {
  it('leave what they do not touch as it was written', () => {
    expect(setValue(TEXT, '/do/0/plan', ['call'], 'cmdb.query').source).toBe(TEXT);
    const flat = '# x\ndo:\n# first\n- a:\n    do:\n    - b: {set: {x: 1}} # y\n- c: {call: job.run, with: {a: [1, 2]}}\n';
    expect(setValue(flat, '/do/1/c', ['call'], 'job.run').source).toBe(flat);
    expect(habits(flat)).toMatchObject({ indentSeq: false, flowCollectionPadding: false });
  });
  it('add a task where it is wanted, under a name of its own', () => {
    const e = addTask(TEXT, '/do/1/each/do', 1, 'work', { set: { b: 2 } });
    expect(e.pointer).toBe('/do/1/each/do/1/work-2');
    expect(changed(e.source)).toEqual({ gone: [], come: ['        - work-2:', '            set:', '              b: 2'] });
    const empty = addTask('do: []\n', '/do', 0, 'a b/c', { wait: 'PT1S' });
    expect(empty).toEqual({ source: 'do:\n  - a-b-c:\n      wait: PT1S\n', pointer: '/do/0/a-b-c' });
    expect(addTask('document: {}\n', '/do', 5, 'x', { set: {} }).pointer).toBe('/do/0/x');
    expect(() => addTask(TEXT, '/do/0/plan/call', 0, 'x', {})).toThrow(CannotEdit);
  });
  it('delete, with the comments of what is deleted and no others', () => {
    const e = removeTask(TEXT, '/do/1/each');
    expect(e.pointer).toBe('/do/1/ask');
    expect(e.source).toContain('# Then the choice.');
    expect(e.source).toContain('# asks the CMDB');
    expect(e.source).not.toContain('work');
    expect(removeTask('do:\n- a: {set: {x: 1}}\n', '/do/0/a').pointer).toBeNull();
  });
  it('duplicate', () => {
    const e = duplicateTask(TEXT, '/do/1/each/do/1/rest');
    expect(e.pointer).toBe('/do/1/each/do/2/rest-2');
    expect(changed(e.source).come).toEqual(['        - rest-2: { set: { a: 1 } } # done']);
  });
  it('move within a list, out of one and into one', () => {
    expect(moveTask(TEXT, '/do/0/plan', '/do', 2).pointer).toBe('/do/1/plan');
    expect(moveTask(TEXT, '/do/2/ask', '/do', 0).pointer).toBe('/do/0/ask');
    const out = moveTask(TEXT, '/do/1/each/do/0/work', '/do', 0);
    expect([out.pointer, Object.keys(valueAt(out.source, '/do/2/each/do/0') as object)]).toEqual(['/do/0/work', ['rest']]);
    // Taking it out of the list around moves the target up.
    const into = moveTask(TEXT, '/do/0/plan', '/do/1/each/do', 0);
    expect(into.pointer).toBe('/do/0/each/do/0/plan');
    expect(valueAt(into.source, into.pointer ?? '')).toMatchObject({ call: 'cmdb.query' });
    expect(into.source).toContain('# asks the CMDB');
    expect(() => moveTask(TEXT, '/do/1/each', '/do/1/each/do', 0)).toThrow(CannotEdit);
  });
  it('rename, and what leads there follows', () => {
    const e = renameTask(TEXT, '/do/0/plan', 'find');
    expect(valueAt(e.source, '/do/2/ask/switch/0/no')).toEqual({ when: '.x', then: 'find' });
    const inner = renameTask(TEXT, '/do/1/each/do/1/rest', 'work');
    expect(inner.pointer).toBe('/do/1/each/do/1/work-2');
    expect(valueAt(inner.source, '/do/1/each/do/0/work')).toEqual({ call: 'job.run', then: 'work-2' });
  });
  it('set values, and take them away with what is empty around them', () => {
    const e = setValue(TEXT, '/do/0/plan', ['with'], { model: 'host', filter: 'status == "online"', limit: 5 });
    expect(changed(e.source)).toEqual({ gone: [`      with: { model: host, filter: 'status == "online"' }`], come: [`      with: { model: host, filter: 'status == "online"', limit: 5 }`] });
    const deep = setValue(TEXT, '/do/0/plan', ['timeout', 'after'], 'PT5S');
    expect(valueAt(deep.source, '/do/0/plan/timeout')).toEqual({ after: 'PT5S' });
    expect(setValue(deep.source, '/do/0/plan', ['timeout', 'after'], undefined).source).toBe(TEXT);
    expect(setValue(TEXT, '/do/0/plan', ['call'], 'cmdb.get').source).toContain('call: cmdb.get # asks the CMDB');
    expect(setValue(TEXT, '/do/0/plan', ['with', 'script'], 'a\nb\n').source).toContain('script: |');
  });
  it('of JSON give JSON', () => {
    const json = '{"do": [{"a": {"set": {"x": 1}}}]}';
    expect(JSON.parse(addTask(json, '/do', 1, 'b', { wait: 'PT1S' }).source)).toEqual({ do: [{ a: { set: { x: 1 } } }, { b: { wait: 'PT1S' } }] });
  });
  it('refuse a text that cannot be read', () => {
    expect(() => addTask('do: [', '/do', 0, 'x', {})).toThrow(CannotEdit);
    expect([placeOf('/use/functions/f'), placeOf('/do/0/a'), freeName('!', [])]).toEqual([null, { list: '/do', index: 0, name: 'a' }, 'task']);
  });
  it('and the drawing agree on where everything stands', () => {
    for (const id of graphOf(TEXT).nodes.keys()) if (!id.includes('#')) expect(valueAt(TEXT, id), id).toBeDefined();
  });
});

describe('undo', () => {
  const s = (a: Parameters<typeof steps>[1], on = { past: [] as string[], now: 'a', future: [] as string[], typed: 0, epoch: 0 }) => steps(on, a);
  it('goes back and forth, and takes what is typed in one go as one', () => {
    const typed = s({ do: 'set', value: 'abc', typed: true, at: 5500 }, s({ do: 'set', value: 'ab', typed: true, at: 5000 }));
    expect(typed).toMatchObject({ past: ['a'], now: 'abc' });
    const drawn = s({ do: 'set', value: 'x', typed: false, at: 5600 }, typed);
    const back = s({ do: 'undo' }, drawn);
    expect([back.now, s({ do: 'redo' }, back).now, s({ do: 'undo' }, back).now]).toEqual(['abc', 'x', 'a']);
    expect(s({ do: 'undo' }).now).toBe('a');
    expect(s({ do: 'set', value: 'n', typed: false, at: 9 }, back).future).toEqual([]);
  });
});

describe('what an expression can name', () => {
  const actions = [{ name: 'cmdb.query', title: '', description: '', input_schema: null, output_schema: { type: 'object', properties: { items: { type: 'array' }, total: { type: 'integer' }, page: { properties: { 'odd name': {} } } } } }];
  const definition = { input: { schema: { document: { properties: { env: {} } } } }, do: [{ plan: { call: 'cmdb.query' } }, { any: { switch: [] } }, { each: { for: { each: 'host', in: '.items' }, do: [{ safe: { try: [{ job: { call: 'x' } }], catch: { as: 'why', do: [{ mend: { set: {} } }] } } }] } }, { note: { set: { done: 1 } } }, { last: { wait: 'PT1S' } }] };
  const names = (pointer: string) => scopeOf(definition as never, pointer, actions).map((n) => n.text);
  it('is the output of the task before, through those that pass it on', () => {
    expect(names('/do/2/each').slice(0, 4)).toEqual(['.items', '.total', '.page', '.page["odd name"]']);
    expect(names('/do/0/plan')[0]).toBe('.env');
    expect(names('/do/4/last')[0]).toBe('.done');
    expect(scopeOf({ do: [{ a: { call: 'cmdb.query' } }, { b: {} }] }, '/do/1/b', []).slice(0, 1)).toEqual([{ text: '.items', from: 'a' }]);
    expect(fieldsOf(null)).toEqual([]);
  });
  it('and the variables around it', () => {
    expect(names('/do/2/each/do/0/safe/catch/do/0/mend').filter((n) => n.startsWith('$'))).toEqual(['$why', '$host', '$index', '$context', '$input', '$output', '$task', '$workflow', '$runtime']);
    expect(names('/do/2/each')).not.toContain('$host');
  });
  it('is completed at the caret', () => {
    const found = completions('.a | .it + 1', 8, [{ text: '.items', from: 'plan' }, { text: '.total', from: 'plan' }]);
    expect(found).toEqual({ from: 5, names: [{ text: '.items', from: 'plan' }] });
    expect([isExpression('${ .a }'), isExpression('x ${ .a }'), isExpression(3), inner('${ .a }')]).toEqual([true, false, false, '.a']);
  });
});
