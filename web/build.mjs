/* Bundles the pages: src/ to dist/, one script a page, with nothing loaded from elsewhere. */
import { cp, mkdir, rm } from 'node:fs/promises';
import { build } from 'esbuild';

const here = (path) => new URL(path, import.meta.url).pathname;
const STATIC = ['index.html', 'demo.html', 'concord.svg'];

await rm(here('dist'), { recursive: true, force: true });
await mkdir(here('dist'));
await build({
  entryPoints: ['index.js', 'demo.js', 'style.css'].map((name) => here(`src/${name}`)),
  outdir: here('dist'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022'],
  legalComments: 'none',
  logLevel: 'warning',
});
await Promise.all(STATIC.map((name) => cp(here(`src/${name}`), here(`dist/${name}`))));
