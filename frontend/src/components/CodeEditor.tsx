/** A small code editor; loaded only where code is written. */
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { HighlightStyle, StreamLanguage, bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { json } from '@codemirror/legacy-modes/mode/javascript';
import { python } from '@codemirror/legacy-modes/mode/python';
import { shell } from '@codemirror/legacy-modes/mode/shell';
import { yaml } from '@codemirror/legacy-modes/mode/yaml';
import { Compartment, EditorState } from '@codemirror/state';
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'react';

export type Language = 'bash' | 'sh' | 'python3' | 'yaml' | 'json' | 'text';

const modes = { bash: shell, sh: shell, python3: python, yaml, json, text: null };

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.controlKeyword], color: 'var(--p-accent)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--p-ok)' },
  { tag: [tags.comment, tags.meta], color: 'var(--p-text-3)', fontStyle: 'italic' },
  { tag: [tags.number, tags.bool, tags.atom], color: 'var(--p-warn)' },
  { tag: [tags.propertyName, tags.definition(tags.variableName), tags.attributeName], color: 'var(--p-info)' },
  { tag: [tags.standard(tags.variableName), tags.typeName], color: 'var(--p-info)' },
]);

interface Props {
  value?: string;
  onChange?: (v: string) => void;
  language: Language;
  label: string;
  minHeight?: number;
  maxHeight?: number;
  readOnly?: boolean;
  id?: string;
  /** Puts the cursor at the start of a line; a new object each time. */
  goto?: { line: number };
}

function languageOf(l: Language) {
  const mode = modes[l];
  // The old modes name the keys of JSON in a way of their own.
  return mode ? StreamLanguage.define({ ...mode, tokenTable: { property: tags.propertyName } } as Parameters<typeof StreamLanguage.define>[0]) : [];
}

const attributes = (label: string, id?: string) => EditorView.contentAttributes.of({ 'aria-label': label, tabindex: '0', ...(id ? { id } : {}) });

export default function CodeEditor({ value = '', onChange, language, label, minHeight = 160, maxHeight = 560, readOnly = false, id, goto }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const change = useRef(onChange);
  const lang = useRef(new Compartment());
  const lock = useRef(new Compartment());
  const named = useRef(new Compartment());
  const first = useRef({ value, language, label, readOnly, minHeight, maxHeight, id });
  useEffect(() => {
    change.current = onChange;
  }, [onChange]);

  useEffect(() => {
    const o = first.current;
    if (!box.current) return;
    const v = new EditorView({
      parent: box.current,
      state: EditorState.create({
        doc: o.value,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          highlightActiveLine(),
          indentUnit.of(o.language === 'python3' ? '    ' : '  '),
          syntaxHighlighting(colours),
          // Tab indents; Escape then Tab leaves, as CodeMirror documents, so the keyboard is never caught.
          keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
          lang.current.of(languageOf(o.language)),
          lock.current.of([EditorState.readOnly.of(o.readOnly), EditorView.editable.of(!o.readOnly)]),
          named.current.of(attributes(o.label, o.id)),
          EditorView.theme({ '&': { maxHeight: `${o.maxHeight}px` }, '.cm-scroller': { overflow: 'auto' }, '.cm-content, .cm-gutter': { minHeight: `${o.minHeight}px` } }),
          EditorView.updateListener.of((u) => {
            if (u.docChanged) change.current?.(u.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = v;
    return () => {
      v.destroy();
      view.current = null;
    };
  }, []);

  useEffect(() => {
    const v = view.current;
    if (v && v.state.doc.toString() !== value) v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: value } });
  }, [value]);
  useEffect(() => {
    view.current?.dispatch({ effects: lang.current.reconfigure(languageOf(language)) });
  }, [language]);
  useEffect(() => {
    view.current?.dispatch({ effects: lock.current.reconfigure([EditorState.readOnly.of(readOnly), EditorView.editable.of(!readOnly)]) });
  }, [readOnly]);
  // Its name changes with the reader's language.
  useEffect(() => {
    view.current?.dispatch({ effects: named.current.reconfigure(attributes(label, id)) });
  }, [label, id]);

  useEffect(() => {
    const v = view.current;
    if (!v || !goto) return;
    const line = v.state.doc.line(Math.min(Math.max(1, goto.line), v.state.doc.lines));
    v.dispatch({ selection: { anchor: line.from }, effects: EditorView.scrollIntoView(line.from, { y: 'center' }) });
    v.focus();
  }, [goto]);

  return <div className="editor" ref={box} />;
}
