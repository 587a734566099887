/* The process of an attack: NAME PORT MS. It says when it begins and, when the time is over, what
 * it has done; it keeps its last connections until its parent lets it go. */
import { ATTACKS } from './attacks.mjs';

const [name, port, ms] = process.argv.slice(2);
process.on('disconnect', () => process.exit(0));
process.send('begin');
const end = Date.now() + Number(ms);
const counts = {};

await ATTACKS[name].run({
  port: Number(port),
  isOver: () => Date.now() >= end,
  over: new Promise((done) => setTimeout(done, Number(ms))),
  count: (what, by = 1) => {
    counts[what] = (counts[what] ?? 0) + by;
  },
});
process.send(counts);
