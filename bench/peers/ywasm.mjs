// The work of crdt_bench, done by npm ywasm (yrs, compiled to WebAssembly).
import * as Y from 'ywasm'
import { main, readEdit } from './work.mjs'

function apply (parts, applyUpdate) {
  const doc = new Y.YDoc({ clientID: 1 })
  for (const part of parts) applyUpdate(doc, part)
  return doc
}

main({
  'apply-v1': parts => () => apply(parts, Y.applyUpdate).getText('text').toString(),
  'apply-v2': parts => () => apply(parts, Y.applyUpdateV2).getText('text').toString(),
  'encode-v1': parts => {
    const doc = apply(parts, Y.applyUpdate)
    return () => Y.encodeStateAsUpdate(doc)
  },
  'encode-v2': parts => {
    const doc = apply(parts, Y.applyUpdate)
    return () => Y.encodeStateAsUpdateV2(doc)
  },
  merge: parts => () => Y.mergeUpdatesV1(parts),
  'state-vector': parts => () => Y.encodeStateVectorFromUpdateV1(parts[0]),
  diff: parts => () => Y.diffUpdateV1(parts[0], parts[1]),
  edit: parts => {
    const edits = parts.map(readEdit)
    return () => {
      const doc = new Y.YDoc({ clientID: 1 })
      const text = doc.getText('text')
      let updates = 0
      doc.onUpdate?.(update => { updates += update.length })
      for (const { position, deleted, text: inserted } of edits) {
        if (deleted > 0) text.delete(position, deleted)
        if (inserted.length > 0) text.insert(position, inserted)
      }
      return text.toString()
    }
  }
})
