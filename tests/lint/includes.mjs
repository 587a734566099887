/*
 * Checks who includes whom: `common <- proto <- crdt <- the daemons`, where an arrow reads "may
 * include", and no daemon the header of another one. Arguments: the folders to look at.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const LAYERS = ['common', 'proto', 'crdt'];
/* The operator's tool reads and mends what snapshotd keeps, through the same interface. */
const SHARED = { ctl: ['snapshotd/store.h', 'snapshotd/store_place.h'] };
const UNBOUND = new Set(['tests', 'bench']);
const INCLUDE = /^\s*#\s*include\s+"([^"]+)"/gm;

const mayInclude = (folder) => {
  const layer = LAYERS.indexOf(folder);
  return layer >= 0 ? LAYERS.slice(0, layer + 1) : [...LAYERS, folder, ...(SHARED[folder] ?? [])];
};

const sourcesOf = (folder) => {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return sourcesOf(path);
      return /\.[ch]$/.test(entry.name) ? [path] : [];
    });
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
};

/* A header without a folder is one of the file's own. */
const isAllowed = (header, allowed) =>
  !header.includes('/') || allowed.includes(header.split('/')[0]) || allowed.includes(header);

const checkFile = (path, allowed) =>
  [...readFileSync(path, 'utf8').matchAll(INCLUDE)]
    .map(([, header]) => header)
    .filter((header) => !isAllowed(header, allowed))
    .map((header) => `${path} must not include "${header}"`);

const problems = process.argv
  .slice(2)
  .filter((folder) => !UNBOUND.has(folder))
  .flatMap((folder) => sourcesOf(folder).flatMap((path) => checkFile(path, mayInclude(folder))));
problems.forEach((problem) => console.log(problem));
process.exitCode = problems.length > 0 ? 1 : 0;
