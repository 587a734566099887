// ./dev bench crdt: this engine beside npm yjs, npm ywasm and native yrs, in one run on one machine.
// Prints a table of times and of ratios to this engine, memory, and instruction counts by callgrind.
// Nothing here asserts a time; results of the engines that differ are marked.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import * as Y from 'yjs'

const here = dirname(fileURLToPath(import.meta.url))
const data = process.env.CONCORD_DATA ?? join(here, '../../shared/data')
const bench = process.env.CONCORD_CRDT_BENCH ?? join(here, '../build/bench/crdt_bench')
const only = process.argv.slice(2)
const dir = mkdtempSync(join(tmpdir(), 'concord-bench-'))
const LIMIT_MS = 240_000

function frames (parts) {
  const chunks = []
  for (const part of parts) {
    const head = Buffer.alloc(4)
    head.writeUInt32LE(part.length)
    chunks.push(head, part)
  }
  return Buffer.concat(chunks)
}

function input (name, parts) {
  const path = join(dir, name)
  writeFileSync(path, frames(parts))
  return path
}

// A made-up author where the recorded one is not at hand: types runs, jumps, deletes.
function generatedEdits (count) {
  let seed = 1
  const random = n => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
    return Math.floor(seed / 2 ** 32 * n)
  }
  const edits = []
  let length = 0
  let cursor = 0
  for (let i = 0; i < count; i++) {
    if (random(40) === 0) cursor = random(length + 1)
    if (length > 0 && random(5) === 0) {
      cursor = Math.max(0, cursor - 1)
      edits.push([cursor, 1, ''])
      length--
    } else {
      edits.push([cursor, 0, String.fromCharCode(97 + random(26))])
      cursor++
      length++
    }
  }
  return edits
}

function recordedEdits () {
  const path = join(data, 'automerge-paper.json.gz')
  if (!existsSync(path)) return generatedEdits(100_000)
  const trace = JSON.parse(gunzipSync(readFileSync(path)))
  return trace.txns.flatMap(txn => txn.patches)
}

function replay (edits) {
  const doc = new Y.Doc()
  doc.clientID = 1
  const text = doc.getText('text')
  const updates = []
  doc.on('update', update => updates.push(update))
  for (const [position, deleted, inserted] of edits) {
    doc.transact(() => {
      if (deleted > 0) text.delete(position, deleted)
      if (inserted) text.insert(position, inserted)
    })
  }
  return { doc, updates }
}

function editParts (edits) {
  return edits.map(([position, deleted, inserted]) => {
    const head = Buffer.alloc(8)
    head.writeUInt32LE(position, 0)
    head.writeUInt32LE(deleted, 4)
    return Buffer.concat([head, Buffer.from(inserted ?? '')])
  })
}

// Everybody inserts one character into the same empty text, without knowing of each other.
function oneplace (clients, isAscending) {
  const updates = []
  for (let i = 0; i < clients; i++) {
    const doc = new Y.Doc()
    doc.clientID = isAscending ? 1000 + i : 1000 + clients - i
    doc.getText('text').insert(0, 'x')
    updates.push(Y.encodeStateAsUpdate(doc))
  }
  return updates
}

function varUint (n) {
  const bytes = []
  for (; n >= 128; n = Math.floor(n / 128)) bytes.push(n % 128 + 128)
  return [...bytes, n]
}

// A text, and insertions by as many clients behind its first character. Each knows more of the text
// than the one before, so that each is compared with all that lies between: quadratic.
function acrossText (clients) {
  const writer = 2 ** 31
  const text = new Y.Doc()
  text.clientID = writer
  text.getText('text').insert(0, 'a'.repeat(clients + 1))
  const bytes = varUint(clients)
  for (let i = clients; i > 0; i--) {
    bytes.push(1, ...varUint(i), 0, 0xc4, ...varUint(writer), 0, ...varUint(writer), ...varUint(i), 1, 120)
  }
  return [Buffer.from(Y.encodeStateAsUpdate(text)), Buffer.from([...bytes, 0])]
}

const RUN_BOMB = Buffer.from('00010000000001000100010200001602000001fdffffffff7f0000', 'hex')

const edits = recordedEdits()
const { doc: traceDoc, updates: traceUpdates } = replay(edits)
const file = name => (existsSync(join(data, name)) ? readFileSync(join(data, name)) : null)
const b4 = file('b4-update.v1') ?? Buffer.from(Y.encodeStateAsUpdate(traceDoc))
// Large, and of many structs: what update-space throughput is measured on.
const large = (() => {
  const c1 = file('C1.v2')
  return c1 ? Buffer.from(Y.convertUpdateFormatV2ToV1(c1)) : b4
})()
const half = (() => {
  const doc = new Y.Doc()
  for (const update of traceUpdates.slice(0, traceUpdates.length / 2)) Y.applyUpdate(doc, update)
  return Buffer.from(Y.encodeStateVector(doc))
})()

const all = ['yjs', 'ywasm', 'yrs']
const cases = [
  ['b4 apply, text read', 'apply-v1', 50, input('b4', [b4]), all, '10 yjs, 2 yrs'],
  [`trace, ${traceUpdates.length} updates one by one`, 'apply-v1', 3, input('trace', traceUpdates), all, '15 yjs, 2 yrs'],
  [`merge of these ${traceUpdates.length}`, 'merge', 3, input('merge', traceUpdates), [], '0.3 s'],
  ['  half of them', 'merge', 3, input('merge2', traceUpdates.slice(0, traceUpdates.length / 2)), [], 'linear'],
  ['  the first 2,000 of them', 'merge', 3, input('merge3', traceUpdates.slice(0, 2000)), ['yjs', 'yrs'], ''],
  ...['S1', 'S2', 'C1'].filter(name => file(name + '.v2')).map(name =>
    [`${name} (v2) apply, text read`, 'apply-v2', 15, input(name, [file(name + '.v2')]), all, '8 yjs, 2 yrs']),
  ['b4 full state, v1', 'encode-v1', 50, input('e1', [b4]), all, '5 yjs'],
  ['b4 full state, v2', 'encode-v2', 50, input('e2', [b4]), all, '5 yjs'],
  ['state vector of an update', 'state-vector', 50, input('sv', [large]), ['yjs', 'yrs'], '300 MB/s', large.length],
  ['diff of an update', 'diff', 50, input('diff', [large, half]), ['yjs', 'yrs'], '150 MB/s', large.length],
  ['merge of a large update with itself', 'merge', 20, input('mm', [large, large]), ['yjs', 'yrs'], '150 MB/s', 2 * large.length],
  [`trace as ${edits.length} local edits`, 'edit', 3, input('edit', editParts(edits)), ['yjs'], '20 yjs'],
  ...[1000, 4000, 16000].flatMap(n => [true, false].map(up =>
    [`${n} clients at one place, ids ${up ? 'ascending' : 'descending'}`, 'apply-v1', 5,
      input(`n${n}${up}`, oneplace(n, up)), n > 4000 ? [] : ['yjs', 'yrs'], 'n log n'])),
  ['2000 insertions across a text', 'apply-v1', 5, input('across', acrossText(2000)), ['yjs', 'yrs'], ''],
  ['32000 insertions across a text, refused for their steps', 'refuse-v1', 5, input('steps', acrossText(32000)), [], ''],
  ['an endless run in 27 bytes, refused', 'refuse-v2', 50, input('bomb', [RUN_BOMB]), [], '1 ms']
]

function buildYrs () {
  try {
    const target = process.env.CARGO_TARGET_DIR ?? join(here, '../build/yrs')
    execFileSync('cargo', ['build', '--release', '--quiet', '--manifest-path', join(here, 'peers/yrs/Cargo.toml')],
      { env: { ...process.env, CARGO_TARGET_DIR: target }, stdio: ['ignore', 'ignore', 'pipe'], timeout: LIMIT_MS })
    return join(target, 'release/yrs-bench')
  } catch {
    return null
  }
}

const yrs = buildYrs()
const engines = {
  concord: [bench],
  yjs: ['node', '--expose-gc', join(here, 'peers/yjs.mjs')],
  ywasm: ['node', join(here, 'peers/ywasm.mjs')],
  yrs: yrs ? [yrs] : null
}

function run (engine, work, runs, path) {
  const command = engines[engine]
  if (!command) return null
  try {
    const out = execFileSync(command[0], [...command.slice(1), work, String(runs), path],
      { encoding: 'utf8', timeout: LIMIT_MS, stdio: ['ignore', 'pipe', 'ignore'] })
    const [, ns, bytes, sum, memory, structs] = out.trim().split('\n').at(-1).split(' ')
    return { ms: Number(ns) / 1e6, bytes: Number(bytes), sum, memory: Number(memory), structs: Number(structs) }
  } catch (error) {
    return { failed: error.code === 'ETIMEDOUT' ? 'over 240 s' : 'failed' }
  }
}

function cell (ours, theirs) {
  if (!theirs) return '-'
  if (theirs.failed) return theirs.failed
  const differs = theirs.sum !== ours.sum && theirs.bytes !== ours.bytes ? ' ≠' : ''
  return `${theirs.ms.toFixed(2)} (${(theirs.ms / ours.ms).toFixed(1)}×)${differs}`
}

// Millions of instructions of one run, the start of the process included; steady where time is not.
function countInstructions (work, path) {
  const out = join(dir, 'callgrind')
  try {
    execFileSync('valgrind', ['--tool=callgrind', `--callgrind-out-file=${out}`, bench, work, '1', path],
      { timeout: LIMIT_MS, stdio: 'ignore' })
  } catch {
    return '-'
  }
  return (Number(readFileSync(out, 'utf8').match(/^summary: (\d+)/m)[1]) / 1e6).toFixed(1)
}

try {
  if (!yrs) console.log('native yrs is not measured: cargo or its registry is not at hand\n')
  console.log('| work | concord ms | yjs ms | ywasm ms | yrs ms | at least | instructions, M |')
  console.log('|---|---|---|---|---|---|---|')
  for (const [title, work, runs, path, peers, goal, bytes] of cases) {
    if (only.length && !only.some(word => title.includes(word))) continue
    const ours = run('concord', work, runs, path)
    if (!ours || ours.failed) {
      console.log(`| ${title} | ${ours?.failed ?? '-'} | | | | ${goal} | |`)
      continue
    }
    const theirs = all.map(peer => peers.includes(peer) ? run(peer, work, Math.min(runs, 15), path) : null)
    const cells = theirs.map(result => cell(ours, result))
    const speed = bytes ? ` (${(bytes / 1e3 / ours.ms).toFixed(0)} MB/s)` : ''
    console.log(`| ${title} | ${ours.ms.toFixed(ours.ms < 0.01 ? 4 : 2)}${speed} | ${cells.join(' | ')} | ${goal} | ${countInstructions(work, path)} |`)
    if (title.startsWith('b4 apply')) {
      const perStruct = ((ours.memory - ours.bytes) / ours.structs).toFixed(0)
      const yjs = theirs[all.indexOf('yjs')]?.memory
      const beside = yjs ? `${(yjs / 1e6).toFixed(2)} MB (${(yjs / ours.memory).toFixed(1)}×)` : '-'
      console.log(`| memory of b4 held, ${perStruct} bytes a struct beside its text | ${(ours.memory / 1e6).toFixed(2)} MB | ` +
        `${beside} | - | - | 4 yjs; at most 64 bytes | |`)
    }
  }
} finally {
  rmSync(dir, { recursive: true })
}
