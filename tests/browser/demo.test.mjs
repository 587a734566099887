/* The pages in a real browser. What the light says, what the panes show, who is seen where. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, before, beforeEach, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { DEADLINE_MS } from '../lib/wait.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/* What a page complains about while its server is away on purpose. */
const LOST_CONNECTION = /WebSocket connection to .* failed/;

describe('pages', () => {
  const suite = suiteScope();
  let server;
  let browser;
  let complaints;

  before(async () => {
    server = await startServer(suite);
    const profile = mkdtempSync(join(tmpdir(), 'concord-browser-'));
    suite.after(() => rmSync(profile, { recursive: true, force: true }));
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM,
      args: FLAGS,
      headless: true,
    });
    suite.after(() => browser.close());
    browser.setDefaultTimeout(DEADLINE_MS);
  });

  beforeEach(() => {
    complaints = [];
  });

  afterEach(async () => {
    await Promise.all(browser.pages().slice(1).map((page) => page.close()));
    assert.deepEqual(complaints, [], 'the console is clean');
  });

  const openPage = async (path, { expected = /^$/ } = {}) => {
    const page = await browser.newPage();
    const complain = (text) => expected.test(text) || complaints.push(text);
    page.on('pageerror', (error) => complain(error.message));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complain(message.text());
    });
    await page.goto(server.http(path));
    return page;
  };

  const paneOf = (page, id) => {
    const pane = page.locator(`#${id}`);
    const content = pane.locator('.cm-content');
    return {
      pane,
      content,
      toggle: pane.locator('.pane-tools button'),
      light: (state) => pane.locator(`.light[data-state="${state}"]`).waitFor(),
      /* Types at the end of the text. */
      async type(text) {
        await content.click();
        await page.keyboard.press('Control+End');
        await page.keyboard.type(text);
      },
      shows: (text) => content.getByText(text).first().waitFor(),
      /* The text without what cursors draw into it. */
      text: () =>
        content.evaluate((element) =>
          [...element.querySelectorAll('.cm-line')]
            .map((line) => {
              const copy = line.cloneNode(true);
              copy.querySelectorAll('.cm-ySelectionCaret').forEach((caret) => caret.remove());
              return copy.textContent;
            })
            .join('\n'),
        ),
    };
  };

  const openDemo = async (room, options) => {
    const page = await openPage(`/demo?room=${room}`, options);
    const panes = [paneOf(page, 'left'), paneOf(page, 'right')];
    await Promise.all(panes.map((pane) => pane.light('saved')));
    return [page, ...panes];
  };

  const assertSameText = async (left, right) => assert.equal(await right.text(), await left.text());

  test('demo: both panes converge while both are written in', async () => {
    const [, left, right] = await openDemo('both');
    for (let round = 0; round < 5; round += 1) {
      await left.type(`left ${round} `);
      await right.type(`right ${round} `);
    }
    await right.shows('left 4');
    await left.shows('right 4');
    await Promise.all([left.light('saved'), right.light('saved')]);
    await assertSameText(left, right);
    for (let round = 0; round < 5; round += 1) {
      assert.match(await left.text(), new RegExp(`left ${round} `));
      assert.match(await left.text(), new RegExp(`right ${round} `));
    }
  });

  test('demo: a pane that was offline catches up and is caught up with', async () => {
    const [, left, right] = await openDemo('apart');
    await left.type('Together. ');
    await right.shows('Together.');

    await left.toggle.click();
    await left.light('offline');
    await left.type('Alone on the left. ');
    await right.type('Alone on the right. ');
    await right.light('saved');
    await left.light('offline');
    assert.doesNotMatch(await right.text(), /left/);
    assert.doesNotMatch(await left.text(), /right/);

    await left.toggle.click();
    await right.shows('Alone on the left.');
    await left.shows('Alone on the right.');
    await Promise.all([left.light('saved'), right.light('saved')]);
    await assertSameText(left, right);
  });

  test('the light goes from saving to saved', async () => {
    const [page, left] = await openDemo('light');
    const light = left.pane.locator('.light');
    await light.evaluate((element) => {
      element.seen = [];
      new MutationObserver(() => element.seen.push(element.dataset.state)).observe(element, {
        attributeFilter: ['data-state'],
      });
    });
    await left.type('x');
    await page.waitForFunction(
      (element) => element.seen.includes('saving') && element.dataset.state === 'saved',
      await light.elementHandle(),
    );
    assert.equal(await light.locator('.light-face').textContent(), 'Saved');
  });

  test('the light says offline when the server is gone, and saved when it is back', async (t) => {
    const other = await startServer(t);
    const page = await openPage('/', { expected: LOST_CONNECTION });
    await page.goto(other.http('/#lost'));
    const editor = paneOf(page, 'editor');
    await editor.light('saved');
    await other.killAll();
    await editor.light('offline');
    await editor.type('written meanwhile');
    await other.start();
    await editor.light('saved');
    await page.reload();
    await editor.shows('written meanwhile');
  });

  test('a reload shows the text', async () => {
    const [page, left] = await openDemo('reload');
    await left.type('here to stay');
    await left.light('saved');
    await page.reload();
    await left.shows('here to stay');
    await paneOf(page, 'right').shows('here to stay');
  });

  test('editor: two people in one room see text, names and cursors', async () => {
    const ada = await openPage('/#two%20people');
    const kerim = await openPage('/?room=two%20people');
    const [one, two] = [paneOf(ada, 'editor'), paneOf(kerim, 'editor')];
    await Promise.all([one.light('saved'), two.light('saved')]);
    assert.equal(await kerim.locator('#room').inputValue(), 'two people');

    await ada.getByLabel('Your name').fill('Ada');
    await ada.getByLabel('Your colour').fill('#aa3355');
    await ada.bringToFront();
    await one.type('Hello Kerim');
    await two.shows('Hello Kerim');
    const caret = two.content.locator('.cm-ySelectionCaret');
    await caret.waitFor();
    assert.match(await caret.textContent(), /Ada/);
    assert.equal(
      await caret.evaluate((element) => getComputedStyle(element).backgroundColor),
      'rgb(170, 51, 85)',
    );
    await two.pane.locator('.person[title="Ada"]').waitFor();

    await Promise.all([
      one.content.pressSequentially(' and this is Ada'),
      two.content.pressSequentially('Kerim at the same time. '),
    ]);
    await one.shows('Kerim at the same time.');
    await two.shows('and this is Ada');
    await Promise.all([one.light('saved'), two.light('saved')]);
    await assertSameText(one, two);

    await ada.close();
    await caret.waitFor({ state: 'detached' });
    await two.pane.locator('.person').waitFor({ state: 'detached' });
  });

  test('editor: another room by the field', async () => {
    const page = await openPage('/#first');
    const editor = paneOf(page, 'editor');
    await editor.light('saved');
    await editor.type('in the first');
    await editor.light('saved');
    await page.getByLabel('Room', { exact: true }).fill('second/ünï');
    await page.getByRole('button', { name: 'Open' }).click();
    await page.waitForURL(/#second%2F/);
    await editor.light('saved');
    assert.doesNotMatch(await editor.text(), /in the first/);
    await page.goBack();
    await editor.shows('in the first');
  });

  test('editor: undo takes back only what oneself has written', async () => {
    const [page, left, right] = await openDemo('undo');
    await left.type('mine');
    await right.shows('mine');
    await right.type(' yours');
    await left.shows('yours');
    await left.content.click();
    await page.keyboard.press('Control+z');
    await right.pane.getByText('mine').waitFor({ state: 'detached' });
    await left.shows('yours');
  });
});
