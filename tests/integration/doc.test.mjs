/* `concordctl doc`: files of updates, without a server; what it writes is what npm yjs writes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dataFile } from '../differential/data.mjs';
import { program } from '../lib/server.mjs';
import Y from '../lib/yjs.mjs';

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'concord-doc-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const file = (name, bytes) => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

/* Runs `concordctl doc …`; an array as the last argument is stdin. */
const run = (args, input) => {
  const options = { input, maxBuffer: 1 << 28 };
  const command = program('ctl/concordctl');
  const { status, signal, stdout, stderr } = spawnSync(command, ['doc', ...args], options);
  return { status, signal, stdout, stderr: stderr.toString() };
};

const give = (args, input) => {
  const { status, signal, stdout, stderr } = run(args, input);
  assert.equal(status, 0, `${args.join(' ')}: ${signal ?? stderr}`);
  return stdout;
};

const refuse = (args, wanted, message, input) => {
  const { status, signal, stdout, stderr } = run(args, input);
  assert.equal(signal, null);
  assert.equal(status, wanted, `${args.join(' ')}: ${stderr}`);
  assert.match(stderr, message);
  assert.equal(stdout.length, 0, 'nothing is written');
};

const same = (got, want) => assert.ok(Buffer.from(want).equals(got), 'the bytes are those of Yjs');

/* Two replicas that wrote at the same time, and all their updates. */
const makeHistory = () => {
  const updates = [];
  const [a, b] = [1, 2].map((clientID) => {
    const doc = new Y.Doc();
    doc.clientID = clientID;
    doc.on('update', (update) => updates.push(update));
    return doc;
  });
  a.getText('body').insert(0, 'Hello 🌍');
  b.getText('body').insert(0, 'brave ');
  a.getMap('map').set('k', { deep: [1, null, 'x'] });
  b.getArray('list').push([1, 'two', true]);
  a.getText('rich').insert(0, 'bold', { bold: true });
  a.getXmlFragment('page').push([new Y.XmlElement('p')]);
  a.getText('body').delete(1, 2);
  const merged = new Y.Doc();
  updates.forEach((update) => Y.applyUpdate(merged, update));
  return { a, b, updates, merged };
};

describe('concordctl doc writes what Yjs writes', () => {
  const history = makeHistory();
  const v2 = history.updates.map((update) => Y.convertUpdateFormatV1ToV2(update));
  const paths = (updates, ending) =>
    updates.map((update, i) => file(`u${i}.${ending}`, update));

  test('merge, in both formats', () => {
    same(give(['merge', ...paths(history.updates, 'v1')]), Y.mergeUpdates(history.updates));
    same(give(['merge', ...paths(v2, 'v2')]), Y.mergeUpdatesV2(v2));
    same(give(['merge', '--to', 'v2', ...paths(history.updates, 'v1')]), Y.mergeUpdatesV2(v2));
    const mixed = [...paths(history.updates.slice(0, 3), 'v1'), ...paths(v2, 'v2').slice(3)];
    same(give(['merge', ...mixed]), Y.mergeUpdates(history.updates));
  });

  test('diff, by a state vector and by an update', () => {
    const whole = file('whole.v1', Y.mergeUpdates(history.updates));
    const known = Y.encodeStateAsUpdate(history.b);
    const sv = Y.encodeStateVector(history.b);
    const want = Y.diffUpdate(Y.mergeUpdates(history.updates), sv);
    same(give(['diff', whole, '--sv', file('sv', sv)]), want);
    same(give(['diff', whole, '--since', file('known.v1', known)]), want);
    same(
      give(['diff', whole, '--to', 'v2', '--sv=-'], sv),
      Y.diffUpdateV2(Y.convertUpdateFormatV1ToV2(Y.mergeUpdates(history.updates)), sv),
    );
    same(give(['sv', whole]), Y.encodeStateVectorFromUpdate(Y.mergeUpdates(history.updates)));
  });

  test('convert, there and back', () => {
    const whole = Y.mergeUpdates(history.updates);
    const converted = give(['convert', '-'], whole);
    same(converted, Y.convertUpdateFormatV1ToV2(whole));
    same(give(['convert', file('whole.v2', converted)]), whole);
    same(give(['convert', '--to', 'v1', file('whole.v1', whole)]), whole);
  });

  test('the format is found out, also of updates that insert nothing', () => {
    const doc = new Y.Doc();
    const empty = [Y.encodeStateAsUpdate(doc), Y.encodeStateAsUpdateV2(doc)];
    const deletes = Buffer.from('0001010201020a01', 'hex');
    for (const [i, update] of [...empty, deletes, ...history.updates, ...v2].entries()) {
      const { format } = JSON.parse(give(['stat', '--json', '-'], update)).files[0];
      const isV2 = i === 1 || i >= 3 + history.updates.length;
      assert.equal(format, isV2 ? 2 : 1, `update ${i}`);
    }
  });

  test('text, and roots as JSON', () => {
    const { merged } = history;
    const all = paths(history.updates, 'v1');
    merged.getArray('list');
    merged.getXmlFragment('page');
    const text = merged.getText('body').toString();
    assert.equal(give(['text', ...all, '--root', 'body']).toString(), text);
    assert.deepEqual(JSON.parse(give(['json', ...all])), {
      body: text,
      map: merged.getMap('map').toJSON(),
      list: merged.getArray('list').toJSON(),
      rich: merged.getText('rich').toDelta(),
      page: '<p></p>',
    });
    const as = (root, kind) =>
      JSON.parse(give(['json', ...all, '--root', root, '--as', kind]));
    assert.equal(as('rich', 'text'), 'bold');
    assert.deepEqual(as('rich', 'delta'), merged.getText('rich').toDelta());
    assert.deepEqual(as('list', 'map'), {});
    assert.deepEqual(as('map', 'map'), merged.getMap('map').toJSON());
    assert.equal(as('page', 'xml'), '<p></p>');
  });

  test('without --root text takes the only one, and json says what waits', () => {
    const doc = new Y.Doc();
    const updates = [];
    doc.on('update', (update) => updates.push(update));
    doc.getMap('m').set('k', 1);
    doc.getText('only').insert(0, 'one');
    doc.getText('only').insert(3, ' two');
    const [first, second, third] = paths(updates, 'only');
    assert.equal(give(['text', third, first, second]).toString(), 'one two');
    const { status, stdout, stderr } = run(['json', first, third]);
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout), { m: { k: 1 } });
    assert.match(stderr, /\d+ bytes wait for updates that are not here/);
    same(give(['merge', first, third]), Y.mergeUpdates([updates[0], updates[2]]));
  });

  test('stat: figures for people and for programs', () => {
    const whole = file('whole.v1', Y.encodeStateAsUpdate(history.merged));
    const figures = JSON.parse(give(['stat', '--json', whole]));
    assert.equal(figures.clients, 2);
    assert.equal(figures.pending_bytes, 0);
    assert.equal(figures.v1_bytes, Y.encodeStateAsUpdate(history.merged).length);
    assert.equal(figures.v2_bytes, Y.encodeStateAsUpdateV2(history.merged).length);
    const list = figures.roots.find(({ name }) => name === 'list');
    assert.deepEqual(list, { name: 'list', kind: 'array', length: 3, keys: 0 });
    const lines = give(['stat', whole]).toString();
    assert.match(lines, /^clients +2$/m);
    assert.match(lines, /^root array length 3, keys 0 {2}list$/m);
  });
});

describe('concordctl doc with files that are not right', () => {
  const doc = new Y.Doc();
  doc.getText('body').insert(0, 'x'.repeat(100));
  const v1 = Y.encodeStateAsUpdate(doc);
  const v2 = Y.encodeStateAsUpdateV2(doc);

  test('every cut of an update is refused', () => {
    for (const [name, update] of Object.entries({ v1, v2 })) {
      for (let end = 0; end < update.length; end += 7)
        refuse(['merge', '-'], 1, /concordctl: -: is no Yjs update/, update.slice(0, end));
      give(['merge', '-', '--from', name], update);
    }
  });

  test('garbage, directories, what is not there and what is too large', () => {
    const good = file('good', v1);
    refuse(['text', file('noise', Buffer.alloc(999, 0xff))], 1, /noise: is no Yjs update/);
    refuse(['text', folder], 1, /Is a directory/);
    refuse(['text', join(folder, 'missing')], 1, /No such file/);
    refuse(['diff', good, '--sv', file('nosv', Buffer.from([9]))], 1, /nosv: is no state vector/);
    refuse(['text', good, '--root', 'nope'], 1, /no root 'nope'; there are: 'body'/);
    const huge = file('huge', '');
    truncateSync(huge, (256 << 20) + 1);
    refuse(['stat', huge], 1, /huge: is too large/);
    refuse(['stat', '/dev/zero'], 1, /zero: is too large/);
    refuse(['stat', '-', '-'], 1, /stdin can be read but once/, v1);
    refuse(['json', file('deep', deepUpdate())], 1, /is over a limit|is no Yjs update/);
  });

  test('what a client of 2^53 or a count of 2^32 promises costs nothing', () => {
    const counts = ['ffffffff0f', '01ffffffff0f0100', '0001ffffffffffffff0f01'];
    for (const hex of [...counts, '00ffffffffffffff0f'])
      refuse(['stat', '-'], 1, /is no Yjs update|is over a limit/, Buffer.from(hex, 'hex'));
  });

  test('a wrong command line is told apart from a bad file', () => {
    const good = file('good', v1);
    refuse([], 2, /doc takes json, text/);
    refuse(['nonsense'], 2, /doc takes json, text/);
    refuse(['text'], 2, /no file is given/);
    refuse(['text', good, '--nonsense'], 2, /no option '--nonsense'/);
    refuse(['text', good, '--to', 'v1'], 2, /no option '--to' here/);
    refuse(['merge', good, '--to', 'v3'], 2, /a format is v1 or v2/);
    refuse(['json', good, '--as', 'text'], 2, /--as goes with --root/);
    refuse(['json', good, '--root', 'body', '--as', 'poem'], 2, /map, array, text/);
    refuse(['diff', good], 2, /either --sv or --since/);
    refuse(['text', good, '--root'], 2, /--root needs a value/);
    assert.match(give(['--help']).toString(), /^usage: concordctl doc COMMAND[^]*Exit status/);
  });

  test('a file is replaced as a whole, or stays as it was', () => {
    const target = file('target', 'before');
    refuse(['merge', file('bad', 'bad'), '-o', target], 1, /bad: is no Yjs update/);
    assert.equal(readFileSync(target, 'utf8'), 'before');
    give(['convert', file('good', v1), '-o', target]);
    same(readFileSync(target), v2);
    refuse(['merge', file('good', v1), '-o', join(folder, 'no/such')], 1, /no\/such: No such file/);
    refuse(['merge', file('good', v1), '-o', '/dev/full'], 1, /No space left/);
    assert.deepEqual(readdirSync(folder).filter((name) => /\.[A-Za-z0-9]{6}$/.test(name)), []);
  });
});

/* An update whose one value is nested too deeply to be read out. */
const deepUpdate = () => {
  const depth = 100000;
  const value = Buffer.concat([
    ...Array.from({ length: depth }, () => Buffer.from([117, 1])),
    Buffer.from([126]),
  ]);
  const head = Buffer.from('010101000801016101', 'hex');
  return Buffer.concat([head, value, Buffer.from([0])]);
};

describe('concordctl doc with real documents', () => {
  for (const [name, root] of [
    ['b4-update.v1', 'text'],
    ['S1.v2', 'text'],
    ['C1.v2', 'text'],
  ]) {
    const { path, skip } = dataFile(name);
    test(name, { skip }, () => {
      const bytes = readFileSync(path);
      const isV2 = name.endsWith('.v2');
      const doc = new Y.Doc();
      (isV2 ? Y.applyUpdateV2 : Y.applyUpdate)(doc, bytes);
      assert.equal(give(['text', path, '--root', root]).toString(), doc.getText(root).toString());
      same(
        give(['convert', path]),
        (isV2 ? Y.convertUpdateFormatV2ToV1 : Y.convertUpdateFormatV1ToV2)(bytes),
      );
    });
  }

  test('AFFiNE documents', { skip: dataFile('affine-large.v1').skip }, () => {
    for (const name of ['affine-basic.v1', 'affine-database.v1', 'affine-large.v1']) {
      const { path } = dataFile(name);
      const doc = new Y.Doc();
      Y.applyUpdate(doc, readFileSync(path));
      const roots = JSON.parse(give(['json', path]));
      for (const root of Object.keys(roots))
        assert.deepEqual(roots[root], JSON.parse(JSON.stringify(doc.getMap(root).toJSON())));
      assert.ok(Object.keys(roots).length > 0);
    }
  });
});
