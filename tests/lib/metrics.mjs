/* Reads /metrics as Prometheus does; what does not follow the text format fails. */
import assert from 'node:assert/strict';

const SAMPLE = /^([a-z_]+)\{([a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*)\} (\d+(?:\.\d+)?)$/;

const parse = (text) => {
  const types = new Map();
  const samples = new Map();
  for (const line of text.split('\n').slice(0, -1)) {
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
    if (type) types.set(type[1], type[2]);
    else if (!/^# HELP [a-z_]+ ./.test(line)) {
      const [, name, labels, value] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`);
      const family = name.replace(/_(bucket|sum|count)$/, '');
      assert.ok(types.has(name) || types.get(family) === 'histogram', `${name} has a type`);
      samples.set(`${name}{${labels}}`, Number(value));
    }
  }
  return samples;
};

/* Every sample, by `name{labels}`. */
export const scrape = async (server) => {
  const answer = await fetch(server.http('/metrics'));
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const text = await answer.text();
  assert.ok(text.endsWith('\n'));
  return parse(text);
};
