/** A definition being written: drawing, form and text are one thing, whichever is used. */
import { App, Button } from 'antd';
import { useQuery } from '@tanstack/react-query';
import { Download, Drama, Plus, Redo2, Undo2, Upload } from 'lucide-react';
import { Suspense, useMemo, useRef, useState, type KeyboardEvent } from 'react';
import { api } from '../../../api/endpoints';
import type { Json } from '../../../api/types';
import { Icon, Loading, Note } from '../../../components/base';
import { saveFile } from '../../../components/csv';
import { useDebounced } from '../../../components/FilterInput';
import { isObject } from '../../../components/SchemaForm';
import { useI18n } from '../../../i18n';
import Drawing from '../canvas/Drawing';
import { graphOf, readDefinition } from '../canvas/graph';
import { problemsByTask } from '../canvas/SourceDrawing';
import { pictureOf } from '../run/states';
import SourceEditor from '../SourceEditor';
import type { View } from '../ViewSwitch';
import { lineOf } from '../yamlLines';
import { addTask, CannotEdit, duplicateTask, moveTask, placeOf, removeTask, renameTask, setValue, valueAt, type Edited } from './edits';
import type { useTextHistory } from './history';
import { Palette, type Spot } from './Palette';
import { Rehearsal, type Rehearsed } from './Rehearsal';
import { scopeOf } from './scope';
import { TaskForm } from './TaskForm';

const MAX_FILE = 1 << 20;

export default function Editor({ name, history, view }: { name: string; history: ReturnType<typeof useTextHistory>; view: View }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [selected, setSelected] = useState<string | null>(null);
  const [adding, setAdding] = useState(false);
  const [rehearsing, setRehearsing] = useState(false);
  const [rehearsed, setRehearsed] = useState<{ of: string; value: Rehearsed } | null>(null);
  const [goto, setGoto] = useState<{ line: number } | undefined>();
  const file = useRef<HTMLInputElement>(null);
  const source = history.text;
  const graph = useMemo(() => graphOf(source), [source]);
  const settled = useDebounced(source, 400);
  const check = useQuery({ queryKey: ['workflows', 'validate', settled], queryFn: () => api.workflows.validate(settled), enabled: settled.trim() !== '', retry: false, placeholderData: (o) => o });
  const actions = useQuery({ queryKey: ['actions', 'list'], queryFn: api.workflows.actions, staleTime: 60_000 });
  const problems = useMemo(() => (check.data ? problemsByTask(graph, check.data.errors) : null), [graph, check.data]);
  const list = actions.data?.items ?? [];
  const node = selected === null ? undefined : graph.nodes.get(selected);

  const edit = (change: () => Edited, keyboard = false) => {
    try {
      const done = change();
      history.set(done.source);
      setSelected(done.pointer);
      // Who works with the keyboard stays on the drawing, at what it is about now.
      if (keyboard && done.pointer) setTimeout(() => document.dispatchEvent(new CustomEvent('wf-goto', { detail: done.pointer })), 0);
    } catch (e) {
      if (!(e instanceof CannotEdit)) throw e;
      void message.warning(`${t('edit.cannot')}: ${e.message}`, 6);
    }
  };
  const move = (id: string, by: -1 | 1, keyboard = false) => {
    const place = placeOf(id);
    const siblings = place ? Number((valueAt(source, place.list) as Json[] | undefined)?.length ?? 0) : 0;
    if (!place || place.index + by < 0 || place.index + by >= siblings) return;
    edit(() => moveTask(source, id, place.list, by < 0 ? place.index - 1 : place.index + 2), keyboard);
  };
  const keys = (id: string, e: KeyboardEvent): boolean => {
    const control = e.ctrlKey || e.metaKey;
    if (control && e.key.toLowerCase() === 'z') {
      if (e.shiftKey) history.redo();
      else history.undo();
    } else if (control && e.key.toLowerCase() === 'y') history.redo();
    else if (control && e.key.toLowerCase() === 'd') edit(() => duplicateTask(source, id), true);
    else if (e.altKey && e.key === 'ArrowUp') move(id, -1, true);
    else if (e.altKey && e.key === 'ArrowDown') move(id, 1, true);
    else if (e.key === 'Delete') edit(() => removeTask(source, id), true);
    else if (e.key.toLowerCase() === 'a' && !control && !e.altKey) {
      setSelected(id);
      setAdding(true);
    } else return false;
    return true;
  };
  const definition = useMemo(() => readDefinition(source).value, [source]);
  const functions = isObject(definition) && isObject(definition.use) && isObject(definition.use.functions) ? Object.keys(definition.use.functions) : [];
  // What was rehearsed is no longer what is written, once it is changed.
  const played = rehearsing && rehearsed?.of === source ? rehearsed.value : null;
  const picture = useMemo(() => (played ? pictureOf(played.result.tasks.slice(0, played.at), graph, new Map()) : null), [played, graph]);
  const now = played?.result.tasks[played.at - 1];
  const rehearsal = rehearsing && (
    <Rehearsal
      source={source}
      graph={graph}
      schema={check.data?.input_schema ?? null}
      actions={list}
      value={played}
      onChange={(value) => setRehearsed(value === null ? null : { of: source, value })}
      onClose={() => setRehearsing(false)}
    />
  );
  const form = !rehearsing && node && selected !== null && !selected.includes('#') && node.kind !== 'catch' && (
    <TaskForm
      key={`${selected} ${history.epoch}`}
      node={node}
      task={valueAt(source, selected)}
      siblings={namesAround(definition, selected)}
      names={scopeOf(definition, selected, list)}
      actions={list}
      functions={functions}
      problems={problems?.get(selected)}
      edits={{
        set: (path, value) => edit(() => setValue(source, selected, path, value)),
        rename: (wanted) => edit(() => renameTask(source, selected, wanted)),
        remove: () => edit(() => removeTask(source, selected)),
        duplicate: () => edit(() => duplicateTask(source, selected)),
        move: (by) => move(selected, by),
        add: () => setAdding(true),
        showText: () => {
          const line = lineOf(source, selected);
          setSelected(null);
          if (line !== null) setGoto({ line });
        },
        close: () => setSelected(null),
      }}
    />
  );
  /** What catches is a part of the task that tries: its form has it. */
  const select = (id: string | null) => setSelected(id !== null && graph.nodes.get(id)?.kind === 'catch' ? (graph.nodes.get(id)?.parent ?? null) : id);
  /** A task that is chosen during a rehearsal is the step to look at. */
  const jump = (value: Rehearsed, id: string | null) => {
    const step = value.result.tasks.findIndex((x) => x.pointer === id);
    if (step >= 0) setRehearsed({ of: source, value: { ...value, at: step + 1 } });
  };
  const drawing = (
    <div>
      {graph.broken && (
        <Note tone="warn" title={t('canvas.broken')}>
          {graph.broken}
        </Note>
      )}
      <Drawing graph={graph} label={t('canvas.of', { name: name || t('workflows.new') })} problems={problems} states={picture?.states ?? null} rounds={picture?.rounds ?? null} selected={rehearsing ? (now?.pointer ?? null) : selected} onSelect={rehearsing ? played && ((id) => jump(played, id)) : select} onKey={keys} />
      <p className="faint only-wide" style={{ padding: '4px 12px', fontSize: 12 }}>
        {t('edit.keys')}
      </p>
    </div>
  );
  const text = (
    <div className="body-note">
      <Suspense fallback={<Loading />}>
        <SourceEditor value={source} onChange={history.type} goto={goto} />
      </Suspense>
    </div>
  );
  return (
    <>
      <div className="list-bar">
        <Button type="primary" icon={<Icon of={Plus} />} disabled={Boolean(graph.broken)} onClick={() => setAdding(true)}>
          {t('edit.add')}
        </Button>
        <Button icon={<Icon of={Undo2} />} aria-label={t('edit.undo')} title={t('edit.undo')} disabled={!history.canUndo} onClick={history.undo} />
        <Button icon={<Icon of={Redo2} />} aria-label={t('edit.redo')} title={t('edit.redo')} disabled={!history.canRedo} onClick={history.redo} />
        <Button icon={<Icon of={Drama} />} disabled={view === 'text'} aria-pressed={rehearsing} onClick={() => setRehearsing(!rehearsing)}>
          {t('rehearsal.open')}
        </Button>
        <span className="grow" />
        <Button icon={<Icon of={Upload} />} aria-label={t('edit.import')} title={t('edit.import')} onClick={() => file.current?.click()} />
        <Button icon={<Icon of={Download} />} aria-label={t('edit.export')} title={t('edit.export')} onClick={() => saveFile(`${name || 'workflow'}.yaml`, 'application/yaml', source)} />
        <input
          ref={file}
          type="file"
          hidden
          accept=".yaml,.yml,.json"
          aria-label={t('edit.import')}
          onChange={(e) => {
            const chosen = e.target.files?.[0];
            e.target.value = '';
            if (!chosen) return;
            if (chosen.size > MAX_FILE) void message.warning(t('import.tooLarge', { n: 1 }));
            else void chosen.text().then((text) => history.set(text));
          }}
        />
      </div>
      {view === 'text' && text}
      {view === 'drawing' && (
        <div className={form || rehearsal ? 'wf-with-panel' : undefined}>
          {drawing}
          {rehearsal || form}
        </div>
      )}
      {view === 'both' && (
        <div className="wf-both">
          {drawing}
          {rehearsal || form || text}
        </div>
      )}
      {adding && <Palette graph={graph} selected={selected} actions={list} onClose={() => setAdding(false)} onAdd={(spot: Spot, wanted: string, body: Json) => edit(() => addTask(source, spot.list, spot.index, wanted, body))} />}
    </>
  );
}

/** The names in a task's list: where `then` can lead. */
function namesAround(definition: Json, pointer: string): string[] {
  const place = placeOf(pointer);
  if (!place) return [];
  let at: Json | undefined = definition;
  for (const part of place.list.split('/').slice(1)) at = Array.isArray(at) ? at[Number(part)] : isObject(at) ? at[part.replace(/~1/g, '/').replace(/~0/g, '~')] : undefined;
  return (Array.isArray(at) ? at : []).flatMap((i) => (isObject(i) ? Object.keys(i).slice(0, 1) : []));
}
