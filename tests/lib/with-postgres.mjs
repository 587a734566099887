/*
 * Runs the command in its arguments with a PostgreSQL of its own: POSTGRES_URL and POSTGRES_TLS_URL
 * of the environment say where. Ends as the command ends.
 */
import { spawn } from 'node:child_process';
import { startPostgres } from './postgres.mjs';

const ends = [];
const [program, ...args] = process.argv.slice(2);
let status = 1;
try {
  const postgres = await startPostgres({ after: (end) => ends.push(end) });
  const env = { ...process.env, POSTGRES_URL: postgres.url, POSTGRES_TLS_URL: postgres.tlsUrl };
  const child = spawn(program, args, { env, stdio: 'inherit' });
  for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => child.kill(name));
  status = await new Promise((done) => {
    child.on('error', (error) => {
      console.error(`${program}: ${error.message}`);
      done(1);
    });
    child.on('exit', (code) => done(code ?? 1));
  });
} finally {
  for (const end of ends) await end();
}
process.exitCode = status;
