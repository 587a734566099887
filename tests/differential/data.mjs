/* The public test data beside the project, or in CONCORD_DATA; it need not be there. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder =
  process.env.CONCORD_DATA ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));

/* `skip` is for node:test: false, or why a test with that file is passed over. */
export const dataFile = (name) => {
  const path = join(folder, name);
  return { path, skip: existsSync(path) ? false : `no ${path}` };
};
