import axe from 'axe-core';
import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { host, show } from '../../../test/page';
import { graphOf } from '../canvas/graph';
import { TEMPLATES } from '../templates';
import { answerOf, BLOCKS, callOf, exampleOf } from './blocks';
import { addTask } from './edits';
import Editor from './Editor';
import { useTextHistory } from './history';
import { spotsOf } from './Palette';

/** What axe finds, without what only a layout engine can say. */
const barriers = async () => (await axe.run(document.body, { rules: { 'color-contrast': { enabled: false }, region: { enabled: false } } })).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ').slice(0, 300)}`);

const ACTION = { name: 'cmdb.get', title: { en: 'Get a record', zh: '读取记录' }, description: 'Reads it', input_schema: { type: 'object', required: ['model', 'id'], properties: { model: { type: 'string', title: 'Model' }, id: { type: 'string' }, limit: { type: 'integer', title: 'Limit' } } }, output_schema: { type: 'object', properties: { hostname: { type: 'string' } } } };
const TEXT = `# Mine.
do:
  - first: { set: { a: 1 } } # keep
  - then: { call: cmdb.get, with: { model: host, id: x } }
`;

beforeEach(() => {
  vi.stubGlobal('ResizeObserver', class {
    constructor(private f: (e: unknown[]) => void) {}
    observe(el: HTMLElement) {
      this.f([{ target: el, contentRect: { width: 900, height: 600 } }]);
    }
    unobserve() {}
    disconnect() {}
  });
  // CodeMirror measures its text.
  Range.prototype.getClientRects = () => [] as unknown as DOMRectList;
  vi.stubGlobal('DOMMatrixReadOnly', class { m22 = 1; });
  for (const [name, value] of [['offsetWidth', 900], ['offsetHeight', 600]] as const) Object.defineProperty(HTMLElement.prototype, name, { configurable: true, get: () => value });
});

let text = '';
function Page() {
  const history = useTextHistory(TEXT);
  text = history.text;
  return <Editor name="mine" history={history} view="drawing" />;
}

const open = (locale: 'en' | 'zh' = 'en') => {
  host({ 'GET /actions': () => ({ items: [ACTION], next_cursor: null, total: 1 }), 'POST /workflows/validate': () => ({ ok: false, errors: [{ pointer: '/do/1/then/with/id', message: 'there is no x' }], title: null, input_schema: null }) });
  show(<Page />, { locale });
};

describe('the editor', () => {
  it('adds what the palette has where it is wanted, and takes it back', async () => {
    open();
    fireEvent.click(await screen.findByRole('button', { name: /^first/ }));
    fireEvent.click(screen.getAllByRole('button', { name: 'Add a task' })[0] as HTMLElement);
    const dialog = await screen.findByRole('dialog');
    fireEvent.change(within(dialog).getByRole('textbox', { name: 'Search blocks and actions' }), { target: { value: 'record' } });
    expect(within(dialog).queryByRole('button', { name: /For each/ })).toBeNull();
    fireEvent.click(await within(dialog).findByRole('button', { name: /Get a record/ }));
    await waitFor(() => expect(text).toContain('  - first: { set: { a: 1 } } # keep\n  - cmdb-get:\n      call: cmdb.get\n      with:\n        model: ""\n        id: ""\n  - then:'));
    expect(await screen.findByRole('region', { name: 'Task cmdb-get' })).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'Undo' }));
    expect(text).toBe(TEXT);
    fireEvent.click(screen.getByRole('button', { name: 'Redo' }));
    expect(text).toContain('cmdb-get');
  });
  it('has a form for the action, in which a value may be an expression', async () => {
    open();
    fireEvent.click(await screen.findByRole('button', { name: /^then, .*Problems: 1/ }));
    const panel = await screen.findByRole('region', { name: 'Task then' });
    expect(within(panel).getByText('there is no x')).toBeTruthy();
    expect(await barriers()).toEqual([]);
    fireEvent.change(within(panel).getByDisplayValue('host'), { target: { value: 'rack' } });
    expect(text).toContain('with: { model: rack, id: x }');
    fireEvent.click(within(panel).getByRole('button', { name: 'Limit: as an expression' }));
    fireEvent.change(within(panel).getByLabelText('Limit, an expression'), { target: { value: '.n' } });
    expect(text).toContain("with: { model: rack, id: x, limit: '${ .n }' }".replace(/'/g, text.includes('"${ .n }"') ? '"' : "'"));
    expect(text).toContain('# keep');
    // A blank that is typed on the way to the next word stays.
    const box = within(panel).getByLabelText('Limit, an expression');
    fireEvent.change(box, { target: { value: '.n ' } });
    expect((box as HTMLInputElement).value).toBe('.n ');
    fireEvent.change(box, { target: { value: '.n | $in' } });
    fireEvent.select(box, { target: { selectionStart: 8 } });
    fireEvent.click(await screen.findByText('$input', { selector: 'code' }));
    await waitFor(() => expect(text).toContain('${ .n | $input }'));
  });
  it('adds to what catches, and shows it in the form of the task that tries', async () => {
    open();
    fireEvent.click((await screen.findAllByRole('button', { name: 'Add a task' }))[0] as HTMLElement);
    fireEvent.click(await screen.findByRole('button', { name: /^Try/ }));
    fireEvent.click(await screen.findByRole('button', { name: /^On error, status = 503, Retried 3×, 10 s/ }));
    const panel = await screen.findByRole('region', { name: 'Task try' });
    fireEvent.change(within(panel).getByDisplayValue('503'), { target: { value: '504' } });
    await waitFor(() => expect(text).toContain('status: 504'));
    expect(addTask(text, '/do/2/try/catch/do', 0, 'mend', { set: { a: 1 } }).source).toContain('        do:\n          - mend:');
  });
  it('is worked with the keyboard alone', async () => {
    open('zh');
    const first = await screen.findByRole('button', { name: /^first/ });
    first.focus();
    await userEvent.keyboard('{Control>}d{/Control}');
    expect(text).toContain('  - first-2: { set: { a: 1 } } # keep');
    (await screen.findByRole('button', { name: /^first,/ })).focus();
    await userEvent.keyboard('{Alt>}{ArrowDown}{/Alt}');
    expect(text.indexOf('first-2')).toBeLessThan(text.indexOf('- first:'));
    (await screen.findByRole('button', { name: /^first-2/ })).focus();
    await userEvent.keyboard('{Delete}');
    expect(text).not.toContain('first-2');
    await waitFor(() => expect(document.activeElement?.getAttribute('aria-label')).toMatch(/^first,/));
    await userEvent.keyboard('a');
    expect(await screen.findByRole('dialog')).toBeTruthy();
  });
});

describe('a rehearsal', () => {
  it('goes step by step with given answers, and ends when the text is changed', async () => {
    const begun = { parent: null, attempt: 1, error: null, started_at: '2026-01-01T00:00:00Z', finished_at: '2026-01-01T00:00:00Z', duration_ms: 0, waiting: null, acts: [], action: null };
    const asked = host({
      'GET /actions': () => ({ items: [ACTION], next_cursor: null, total: 1 }),
      'POST /workflows/validate': () => ({ ok: true, errors: [], title: null, input_schema: { type: 'object', properties: { who: { type: 'string', default: 'me' } } } }),
      'POST /runs/rehearsal': () => ({
        status: 'succeeded',
        output: { end: 1 },
        error: null,
        stopped: null,
        unanswered: [],
        tasks: [
          { ...begun, id: 1, pointer: '/do/0/first', path: '/do/0/first', name: 'first', kind: 'set', status: 'succeeded', input: { in1: 1 }, output: { a: 1 } },
          { ...begun, id: 2, pointer: '/do/1/then', path: '/do/1/then', name: 'then', kind: 'call', status: 'failed', input: { in2: 1 }, output: null },
        ],
      }),
    });
    show(<Page />);
    await screen.findByRole('button', { name: /^then/ });
    fireEvent.click(screen.getByRole('button', { name: 'Rehearse' }));
    const panel = await screen.findByRole('region', { name: 'Rehearsal' });
    fireEvent.click(within(panel).getByRole('button', { name: 'Begin the rehearsal' }));
    await screen.findByText('Step 1 of 2');
    const sent = JSON.parse(String(asked.find((a) => a.url.pathname.endsWith('/rehearsal'))?.body));
    expect(sent).toMatchObject({ source: TEXT, input: { who: 'me' }, answers: { '/do/1/then': { output: { hostname: '' } } } });
    expect(screen.getByRole('button', { name: /^first, .*Succeeded/ })).toBeTruthy();
    expect(screen.queryByRole('button', { name: /^then, .*Failed/ })).toBeNull();
    fireEvent.click(within(panel).getByRole('button', { name: 'A step on' }));
    expect(await screen.findByRole('button', { name: /^then, .*Failed/ })).toBeTruthy();
    expect(panel.textContent).toContain('"end": 1');
    fireEvent.click(screen.getByRole('button', { name: /^first/ }));
    expect(panel.textContent).toContain('"in1": 1');
  });
});

describe('what a workflow is made of', () => {
  it('blocks and templates are drawn without a word of complaint', () => {
    for (const [kind, body] of Object.entries(BLOCKS)) expect([...graphOf(`do:\n- x: ${JSON.stringify(body)}`).nodes.values()].map((n) => n.kind)).toContain(kind);
    for (const x of TEMPLATES) expect([x.id, graphOf(x.source).broken, [...graphOf(x.source).nodes.values()].filter((n) => n.kind === 'unknown')]).toEqual([x.id, null, []]);
  });
  it('actions begin with what their schema asks for', () => {
    expect(callOf(ACTION)).toEqual({ call: 'cmdb.get', with: { model: '', id: '' } });
    expect(answerOf(ACTION)).toEqual({ hostname: '' });
    expect([exampleOf({ enum: ['a'] }), exampleOf({ type: 'integer', minimum: 3 }), exampleOf({ type: ['array', 'null'] }), exampleOf(null)]).toEqual(['a', 3, [], null]);
  });
  it('goes behind, before, into and at the end', () => {
    const g = graphOf('do:\n- a: {for: {in: .x}, do: [{b: {set: {x: 1}}}]}\n- t: {try: [{c: {set: {x: 1}}}], catch: {}}\n');
    expect(spotsOf(g, '/do/0/a').map((s) => [s.how, s.spot.list, s.spot.index])).toEqual([['after', '/do', 1], ['before', '/do', 0], ['into', '/do/0/a/do', 1], ['end', '/do', 2]]);
    expect(spotsOf(g, '/do/1/t').map((s) => s.list)).toContain('/catch/do');
    expect(spotsOf(g, null).map((s) => s.how)).toEqual(['end']);
  });
});
