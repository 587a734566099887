// What the JavaScript engines share: reading the work's input, timing, and the line of results that
// crdt_bench prints too.
import { readFileSync } from 'node:fs'

function readParts (path) {
  const bytes = readFileSync(path)
  const parts = []
  for (let at = 0; at + 4 <= bytes.length;) {
    const len = bytes.readUInt32LE(at)
    parts.push(new Uint8Array(bytes.buffer, bytes.byteOffset + at + 4, len))
    at += 4 + len
  }
  return parts
}

function checksum (bytes) {
  let h = 2166136261
  for (const b of bytes) h = Math.imul(h ^ b, 16777619)
  return (h >>> 0).toString(16).padStart(8, '0')
}

function readEdit (part) {
  const view = new DataView(part.buffer, part.byteOffset, part.length)
  return {
    position: view.getUint32(0, true),
    deleted: view.getUint32(4, true),
    text: new TextDecoder().decode(part.subarray(8))
  }
}

// `works[name](parts)` prepares and returns the function to time; that returns bytes or a string.
// `Y` names an engine's functions as Yjs does.
function worksOf (Y) {
  const apply = (parts, applyUpdate) => {
    const doc = Y.newDoc()
    for (const part of parts) applyUpdate(doc, part)
    return doc
  }
  const read = doc => doc.getText('text').toString()
  const encode = (parts, encodeState) => {
    const doc = apply(parts, Y.applyUpdate)
    return () => encodeState(doc)
  }
  const edit = edits => {
    const doc = Y.newDoc()
    const text = doc.getText('text')
    let updates = 0
    Y.onUpdate(doc, update => { updates += update.length })
    for (const { position, deleted, text: inserted } of edits) {
      if (deleted > 0) text.delete(position, deleted)
      if (inserted.length > 0) text.insert(position, inserted)
    }
    if (updates === 0) throw new Error('no updates')
    return text.toString()
  }
  return {
    'apply-v1': parts => () => read(apply(parts, Y.applyUpdate)),
    'apply-v2': parts => () => read(apply(parts, Y.applyUpdateV2)),
    'encode-v1': parts => encode(parts, Y.encodeStateAsUpdate),
    'encode-v2': parts => encode(parts, Y.encodeStateAsUpdateV2),
    merge: parts => () => Y.mergeUpdates(parts),
    'state-vector': parts => () => Y.encodeStateVectorFromUpdate(parts[0]),
    diff: parts => () => Y.diffUpdate(parts[0], parts[1]),
    edit: parts => {
      const edits = parts.map(readEdit)
      return () => edit(edits)
    }
  }
}

const HELD = 20

// Bytes that a document holds which has the text of `parts`: the mean of many, as a collector knows
// the difference between two moments only. 0 where it cannot be told to collect.
function measure (Y, parts) {
  if (!globalThis.gc) return 0
  const used = () => {
    for (let i = 0; i < 3; i++) globalThis.gc()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const held = []
  const before = used()
  for (let i = 0; i < HELD; i++) {
    const doc = Y.newDoc()
    for (const part of parts) Y.applyUpdate(doc, part)
    held.push(doc)
  }
  const after = used()
  if (held.some(doc => doc.getText('text').length === 0)) throw new Error('no text')
  return Math.round((after - before) / HELD)
}

export function main (engine) {
  const works = worksOf(engine)
  const [, , name, runs, path] = process.argv
  const parts = readParts(path)
  if (!works[name]) {
    console.error(`no work '${name}'`)
    process.exit(2)
  }
  let best = Infinity
  let result
  for (let i = 0; i < Number(runs); i++) {
    const work = works[name](parts)
    const started = process.hrtime.bigint()
    result = work()
    const ns = Number(process.hrtime.bigint() - started)
    if (ns < best) best = ns
  }
  const bytes = typeof result === 'string' ? new TextEncoder().encode(result) : result
  const memory = name === 'apply-v1' && parts.length === 1 ? measure(engine, parts) : 0
  console.log(name, best, bytes.length, checksum(bytes), memory, 0)
}
