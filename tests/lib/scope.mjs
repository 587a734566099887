/* For what the tests of one suite share: has `after` as a test has it, last in is first out. */
import { after } from 'node:test';

export const suiteScope = () => {
  const ends = [];
  after(async () => {
    for (const end of ends.reverse()) await end();
  });
  return { after: (end) => ends.push(end) };
};
