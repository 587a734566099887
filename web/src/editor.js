/* The CodeMirror editor of one document: its text, everybody's cursors, undo of one's own edits. */
import { defaultKeymap } from '@codemirror/commands';
import { EditorState } from '@codemirror/state';
import { EditorView, drawSelection, highlightActiveLine, keymap, placeholder } from '@codemirror/view';
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next';
import * as Y from 'yjs';

/* The root text, the one that every kind of client of the room edits. */
const ROOT = 'body';

/* The selection is drawn on a layer, so that a remote cursor is never hidden under it. */
const theme = EditorView.theme({
  '&': { height: '100%', color: 'var(--ink)', backgroundColor: 'transparent' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { font: 'var(--editor-font)', lineHeight: '1.65', overflow: 'auto' },
  '.cm-content': { padding: '1.5rem 0 6rem', caretColor: 'var(--ink)' },
  '.cm-line': { padding: '0 var(--editor-margin)' },
  '.cm-placeholder': { color: 'var(--muted)' },
  '.cm-activeLine': { backgroundColor: 'transparent' },
  '&.cm-focused .cm-activeLine': { backgroundColor: 'var(--line-here)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)', borderLeftWidth: '2px' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground':
    { backgroundColor: 'var(--selection)' },
  '.cm-ySelectionInfo': {
    opacity: '1',
    font: '600 0.6875rem/1 var(--ui-font)',
    padding: '0.2rem 0.4rem',
    borderRadius: '0.4rem 0.4rem 0.4rem 0',
    top: '-1.25em',
    left: '-1px',
    animation: 'name-tag 4s forwards',
  },
  '.cm-ySelectionCaret:hover > .cm-ySelectionInfo': { animation: 'none' },
});

export const createEditor = (parent, provider, { label, hint }) => {
  const text = provider.doc.getText(ROOT);
  const undoManager = new Y.UndoManager(text);
  return new EditorView({
    parent,
    state: EditorState.create({
      doc: text.toString(),
      extensions: [
        keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
        drawSelection(),
        highlightActiveLine(),
        EditorView.lineWrapping,
        placeholder(hint),
        EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'true' }),
        yCollab(text, provider.awareness, { undoManager }),
        theme,
      ],
    }),
  });
};
