/* Makes calls of the file system fail in the processes of a server: see tests/fault/fault.h. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSanitized, program } from './server.mjs';

/* For `prepare` of startServer(): the server's processes take rules from then on. */
export const faulty = (server) => {
  const file = join(server.directory, 'fault');
  const hitsFile = `${file}.hits`;
  server.env = { ...server.env, LD_PRELOAD: program('tests/fault/concord_fault.so'),
    FAULT: `@${file}` };
  server.fault = {
    /* From now on; calls are counted anew. */
    set(rule) {
      rmSync(hitsFile, { force: true });
      writeFileSync(`${file}.new`, rule);
      renameSync(`${file}.new`, file);
    },
    clear() {
      rmSync(file, { force: true });
    },
    /* The calls that failed since set(): `function path`. */
    hits() {
      return existsSync(hitsFile) ? readFileSync(hitsFile, 'utf8').split('\n').slice(0, -1) : [];
    },
  };
};

export const canPreload = () => !isSanitized();
