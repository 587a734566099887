// The work of crdt_bench, done by npm ywasm (yrs, compiled to WebAssembly); it has none of the
// functions that work on updates without a document.
import * as Y from 'ywasm'
import { main } from './work.mjs'

main({
  ...Y,
  newDoc: () => new Y.YDoc({ clientID: 1 }),
  onUpdate: (doc, fn) => doc.onUpdate(fn)
})
