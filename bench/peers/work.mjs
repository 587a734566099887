// What the JavaScript engines share: reading the work's input, timing, and the line of results that
// crdt_bench prints too.
import { readFileSync } from 'node:fs'

export function readParts (path) {
  const bytes = readFileSync(path)
  const parts = []
  for (let at = 0; at + 4 <= bytes.length;) {
    const len = bytes.readUInt32LE(at)
    parts.push(new Uint8Array(bytes.buffer, bytes.byteOffset + at + 4, len))
    at += 4 + len
  }
  return parts
}

export function checksum (bytes) {
  let h = 2166136261
  for (const b of bytes) h = Math.imul(h ^ b, 16777619)
  return (h >>> 0).toString(16).padStart(8, '0')
}

export function readEdit (part) {
  const view = new DataView(part.buffer, part.byteOffset, part.length)
  return {
    position: view.getUint32(0, true),
    deleted: view.getUint32(4, true),
    text: new TextDecoder().decode(part.subarray(8))
  }
}

// `works[name](parts)` prepares and returns the function to time; that returns bytes or a string.
export function main (works) {
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
  console.log(name, best, bytes.length, checksum(bytes), 0, 0)
}
