// The work of crdt_bench, done by npm yjs.
import * as Y from 'yjs'
import { main } from './work.mjs'

main({ ...Y, newDoc: () => new Y.Doc(), onUpdate: (doc, fn) => doc.on('update', fn) })
