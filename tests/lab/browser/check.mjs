// The web app in a real browser, against a real hub and a real login provider.
//
//   tests/lab/browser-check HUB_URL [LOGIN]      CHROMIUM=/usr/bin/chromium  SHOTS=DIR
//
// With LOGIN it signs in through the provider's own pages as that person;
// without, the hub must be one that asks for no login. Start it with
// tests/lab/browser-check. Exit 0 when all holds, 1 with what does not. It adds
// two tasks to the hub and leaves them there, done.
//
// It waits for what is to happen, never for a time.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { load } from '../openid/packages.mjs';

const [url, login] = process.argv.slice(2);
if (!url) {
  console.error('usage: node check.mjs HUB_URL [LOGIN]');
  process.exit(2);
}
const { default: { chromium } } = await load('playwright-core');
const hub = url.replace(/\/$/, '');
const app = new URL('../../../hephd/pwa/', import.meta.url);
const mark = Date.now().toString(36);
const steps = [];
const wrong = [];
const tokens = new Set();
let renewals = 0;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
const context = await browser.newContext({ viewport: { width: 390, height: 844 } });
context.setDefaultTimeout(15_000);
const page = await context.newPage();
let failsOnPurpose = false;

page.on('dialog', (dialog) => {
  wrong.push(`a dialog opened: ${dialog.message()}`);
  dialog.dismiss();
});
page.on('pageerror', (error) => wrong.push(`an error nobody caught: ${error.message}`));
page.on('console', (message) => {
  const isOurs = message.location().url.startsWith(hub) || page.url().startsWith(hub);
  const isNetwork = failsOnPurpose && message.text().startsWith('Failed to load resource');
  if (isOurs && message.type() === 'error' && !isNetwork) wrong.push(`console: ${message.text()}`);
});
await page.exposeFunction('tellWrong', (what) => wrong.push(what));
await page.addInitScript(() => {
  const tell = (event) => window.tellWrong(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
  document.addEventListener('securitypolicyviolation', tell);
});
page.on('request', (request) => {
  if (/grant_type=refresh_token/.test(request.postData() ?? '')) renewals += 1;
});
page.on('response', async (response) => {
  if (response.request().method() !== 'POST' || !response.ok()) return;
  const body = await response.json().catch(() => null);
  for (const name of ['access_token', 'refresh_token', 'id_token']) {
    if (body?.[name]) tokens.add(body[name]);
  }
});

const box = page.getByLabel('New task for today');
const row = (title) => page.locator('.tasks li').filter({ hasText: title });
const tick = (title) => row(title).getByRole('checkbox');

async function step(name, run) {
  await run();
  await noTokenOutside();
  steps.push(name);
  console.log(`ok    ${name}`);
  if (process.env.SHOTS) {
    mkdirSync(process.env.SHOTS, { recursive: true });
    await page.screenshot({ path: `${process.env.SHOTS}/${String(steps.length).padStart(2, '0')}.png` });
  }
}

async function noTokenOutside() {
  if (!page.url().startsWith(hub)) return;
  const seen = await page.evaluate(async () => {
    const kept = [];
    for (const name of await caches.keys()) {
      const cache = await caches.open(name);
      for (const request of await cache.keys()) {
        kept.push(request.url, await (await cache.match(request)).text());
      }
    }
    const databases = (await indexedDB.databases()).map((database) => database.name);
    const html = document.documentElement.outerHTML;
    return { html, local: JSON.stringify(localStorage), cookie: document.cookie, kept, databases };
  });
  const where = { ...seen, url: page.url(), kept: seen.kept.join('\n') };
  for (const [place, text] of Object.entries(where)) {
    for (const token of tokens) assert(!text.includes(token), `there is a token in ${place}`);
  }
  assert(!/[?&#](code|state)=/.test(page.url()), `the address keeps the code: ${page.url()}`);
  assert.deepEqual(seen.databases, []);
  const foreign = seen.kept.filter((url) => /^https?:\S+$/.test(url) && /\?|\/(config|rpc|sync)(\/|$)/.test(url));
  assert.deepEqual(foreign, [], 'the offline shell keeps more than the shell');
}

/** Through the pages of the provider of tests/lab: a name, any password, consent. */
async function signIn() {
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL((url) => !url.href.startsWith(hub));
  while (!page.url().startsWith(hub)) {
    const name = page.locator('input[name=login]');
    if (await name.count()) {
      await name.fill(login);
      await page.locator('input[name=password]').fill('x');
    }
    const before = page.url();
    await page.locator('button[type=submit]').first().click();
    await page.waitForURL((url) => url.href !== before);
  }
  await box.waitFor();
}

async function offline(is) {
  failsOnPurpose = is;
  await context.setOffline(is);
}

async function run() {
  const hostile = `<img src=x onerror="alert(1)"><script>alert(2)</script> ${mark}`;
  const lost = `kept while offline ${mark}`;

  await step('the shell names each of its files', () => {
    const worker = readFileSync(new URL('sw.js', app), 'utf8');
    const shell = [...worker.matchAll(/^ {2}'\/(.*)',$/gm)].map((match) => match[1] || 'index.html');
    const apart = new Set(['README.md', 'sw.js', 'icon-180.png']);
    const files = readdirSync(app).filter((name) => !apart.has(name));
    assert.deepEqual(shell.sort(), files.sort());
    const page = readFileSync(new URL('index.html', app), 'utf8');
    const modules = files.filter((name) => name.endsWith('.js'));
    assert.deepEqual(modules.filter((name) => !page.includes(`"/${name}"`)), []);
  });

  await step('opens', async () => {
    await page.goto(hub);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.evaluate(() => navigator.serviceWorker.ready);
  });

  if (login) {
    await step('shows nothing before the sign-in', async () => {
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      assert.equal(await page.locator('.tasks li').count(), 0);
      assert(!(await box.isVisible()));
    });
    await step('an answer that nobody asked for signs nobody in', async () => {
      await page.goto(`${hub}/?code=stolen&state=made-up`);
      await page.locator('#gate-why').getByText('did not begin in this tab').waitFor();
    });
    await step('signs in', async () => {
      await signIn();
      await page.locator('#name').getByText(login).waitFor();
      assert(tokens.size >= 2, 'tokens were seen, so they can be looked for');
    });
  }

  await step('adds a task', async () => {
    await box.fill(`buy charcoal ${mark}`);
    await box.press('Enter');
    await row(`buy charcoal ${mark}`).waitFor();
    assert.equal(await box.inputValue(), '');
    await page.locator('.is-pending').waitFor({ state: 'detached' });
  });

  await step('is still there after a reload', async () => {
    await page.reload();
    await row(`buy charcoal ${mark}`).waitFor();
    assert.equal(await tick(`buy charcoal ${mark}`).isChecked(), false);
  });

  await step('ticks it with the keyboard, and takes the tick away', async () => {
    const box = tick(`buy charcoal ${mark}`);
    const told = () => page.waitForResponse((response) => isWrite(response));
    await Promise.all([told(), box.press('Space')]);
    assert(await box.isChecked());
    await Promise.all([told(), box.press('Space')]);
    assert(!(await box.isChecked()));
    await Promise.all([told(), row(`buy charcoal ${mark}`).locator('.title').click()]);
    assert(await box.isChecked());
  });

  await step('is done after a reload', async () => {
    await page.reload();
    await page.locator('#done li').filter({ hasText: `buy charcoal ${mark}` }).waitFor();
  });

  await step('shows a hostile title as text', async () => {
    await box.fill(hostile);
    await page.getByRole('button', { name: 'Add' }).click();
    await row(mark).filter({ hasText: 'onerror' }).waitFor();
    await page.reload();
    await row(mark).filter({ hasText: 'onerror' }).waitFor();
    assert.equal(await row('onerror').filter({ hasText: mark }).locator('.title').textContent(), hostile);
    assert.equal(await page.locator('.tasks img, .tasks script').count(), 0);
  });

  await step('a lost answer makes no second task', async () => {
    await page.route('**/rpc', loseWrite, { times: 1 });
    failsOnPurpose = true;
    await box.fill(`only once ${mark}`);
    await box.press('Enter');
    await page.locator('#at-box').getByText('Not saved.').waitFor();
    assert.equal(await box.inputValue(), `only once ${mark}`);
    failsOnPurpose = false;
    await box.press('Enter');
    await page.locator('.is-pending').waitFor({ state: 'detached' });
    await page.reload();
    await row(`only once ${mark}`).waitFor();
    assert.equal(await row(`only once ${mark}`).count(), 1);
  });

  await step('offline it says so, and keeps what is on the page', async () => {
    await offline(true);
    await box.fill(lost);
    await box.press('Enter');
    await page.locator('#at-box').getByText('Not saved.').waitFor();
    assert.equal(await box.inputValue(), lost);
    assert(await row(mark).first().isVisible());
  });

  await step('offline a reload shows the shell, the words, and no task', async () => {
    await page.reload();
    await page.locator('#notice').getByText('the hub cannot be reached').waitFor();
    assert.equal(await box.inputValue(), lost);
    assert.equal(await page.locator('.tasks li').count(), 0);
  });

  await step('is back, and the words become a task', async () => {
    await offline(false);
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await page.locator('#notice').waitFor({ state: 'hidden' });
    await box.press('Enter');
    await row(lost).waitFor();
    await page.locator('.is-pending').waitFor({ state: 'detached' });
  });

  await step('tidies up', async () => {
    const left = page.locator('#today li').filter({ hasText: mark }).getByRole('checkbox', { checked: false });
    while (await left.count()) {
      await Promise.all([page.waitForResponse(isWrite), left.first().check()]);
    }
  });

  if (login) {
    await step('a token near its end is renewed once, whoever asks', async () => {
      await page.evaluate(() => {
        const session = JSON.parse(sessionStorage.getItem('heph.session'));
        sessionStorage.setItem('heph.session', JSON.stringify({ ...session, renew_at: 0 }));
      });
      const before = renewals;
      await page.reload();
      await page.locator('#done li').first().waitFor();
      assert.equal(renewals - before, 1);
    });
    await step('a 401 costs one renewal and nothing else', async () => {
      const before = renewals;
      await page.route('**/rpc', (route) => route.fulfill({ status: 401, json: {} }), { times: 3 });
      failsOnPurpose = true;
      await page.reload();
      await page.locator('#done li').first().waitFor();
      failsOnPurpose = false;
      assert.equal(renewals - before, 1);
      await page.unroute('**/rpc');
    });
    await step('a login that the hub refuses ends, and the words survive the next', async () => {
      await box.fill(`kept through a sign-in ${mark}`);
      await page.route('**/rpc', (route) => route.fulfill({ status: 401, json: {} }));
      failsOnPurpose = true;
      await box.press('Enter');
      await page.locator('#gate-why').getByText('does not accept this login').waitFor();
      failsOnPurpose = false;
      assert.equal(await page.locator('.tasks li').count(), 0);
      await page.unroute('**/rpc');
      await signIn();
      assert.equal(await box.inputValue(), `kept through a sign-in ${mark}`);
      await box.fill('');
    });
    await step('signs out, asks before it drops words, and leaves nothing', async () => {
      await box.fill('half a thought');
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('button', { name: 'Stay' }).click();
      assert.equal(await box.inputValue(), 'half a thought');
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      assert.equal(await page.locator('.tasks li').count(), 0);
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
      const left = await page.evaluate(() => Object.keys(localStorage));
      assert.deepEqual(left, ['heph.config']);
      await page.reload();
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    });
  }
}

function isWrite(response) {
  return (response.request().postData() ?? '').includes('node.write');
}

/** The hub gets the write, and its answer never comes back. */
async function loseWrite(route) {
  await route.fetch();
  await route.abort();
}

try {
  await run();
} catch (error) {
  wrong.push(`after "${steps.at(-1) ?? 'nothing'}": ${error.message}`);
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/failed.png` }).catch(() => {});
}
await browser.close();
wrong.forEach((what) => console.error(`wrong ${what}`));
console.log(`${steps.length} steps hold, ${wrong.length} wrong`);
process.exit(wrong.length ? 1 : 0);
