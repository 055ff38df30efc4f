// A person at a browser, who fills in the provider's own pages.
// Usage: tests/lab/openid-person approve VERIFICATION_URI USER_CODE LOGIN
//        tests/lab/openid-person deny VERIFICATION_URI USER_CODE
//        tests/lab/openid-person authorize URL LOGIN
// approve and deny answer a device; authorize signs in to an application and
// prints where the provider sends the browser back to.
// Exit code: 0 when the last page says that it is done, else 1 with what it says.
import { fileURLToPath } from 'node:url';

export async function approve(uri, code, login) {
  const browser = new Browser();
  await browser.confirm(uri, code, { confirm: 'yes' });
  await browser.signIn(login);
  browser.expect('Sign-in Success');
}

export async function deny(uri, code) {
  const browser = new Browser();
  await browser.confirm(uri, code, { abort: 'yes' });
  browser.expect('The Sign-in request was interrupted');
}

export async function authorize(url, login) {
  const browser = new Browser();
  browser.home = new URL(url).origin;
  await browser.get(url);
  await browser.signIn(login);
  if (!browser.left) throw new Error(`the provider kept the browser: ${browser.says()}`);
  return browser.left;
}

class Browser {
  #cookies = new Map();
  #page = '';
  #url;
  // Pages elsewhere are not opened: the address is what counts.
  home;
  left = null;

  async get(url) {
    await this.#go(url, {});
  }

  async confirm(uri, code, decision) {
    this.home = new URL(uri).origin;
    await this.get(uri);
    await this.#submit({ user_code: code });
    this.expect('Confirm Device');
    await this.#submit(decision);
  }

  // Each page asks one thing: who it is, then whether that is what they want.
  async signIn(login) {
    for (let pages = 0; pages < 5 && !this.left && this.#page.includes('name="prompt"'); pages += 1) {
      await this.#submit({ login, password: 'any' });
    }
  }

  expect(words) {
    if (!this.#page.includes(words)) throw new Error(`not "${words}", but: ${this.says()}`);
  }

  says() {
    const body = this.#page.replace(/<(head|script|style)\b.*?<\/\1>/gs, '');
    return body.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim().slice(0, 300);
  }

  // Sends the form with what is filled in over what stood in it.
  async #submit(fields) {
    const action = this.#page.match(/<form[^>]*action="([^"]*)"/)?.[1];
    if (!action) throw new Error(`no form on this page: ${this.says()}`);
    const form = new URLSearchParams();
    for (const [input] of this.#page.matchAll(/<input[^>]*>/g)) {
      const read = (name) => input.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1];
      form.set(read('name'), fields[read('name')] ?? read('value') ?? '');
    }
    // A button has a name too.
    for (const [name, value] of Object.entries(fields)) {
      if (this.#page.includes(`name="${name}"`)) form.set(name, value);
    }
    if (fields.abort) form.delete('confirm');
    await this.#go(new URL(action, this.#url), { method: 'POST', body: form });
  }

  async #go(url, request) {
    let next = { url: new URL(url), request };
    for (let hops = 0; next && hops < 10; hops += 1) {
      if (next.url.origin !== this.home) {
        this.left = next.url.href;
        return;
      }
      next = await this.#load(next.url, next.request);
    }
  }

  async #load(url, request) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { accept: 'text/html', cookie };
    const answer = await fetch(url, { ...request, headers, redirect: 'manual' });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      this.#cookies.set(name, value);
    }
    this.#url = url;
    this.#page = await answer.text();
    const location = answer.headers.get('location');
    return location && { url: new URL(location, url), request: {} };
  }
}

const commands = { approve, deny, authorize };

async function main([name, ...args]) {
  const command = commands[name];
  if (!command || args.length !== command.length) {
    console.error('usage: openid-person approve URI CODE LOGIN | deny URI CODE | authorize URL LOGIN');
    process.exit(2);
  }
  try {
    const result = await command(...args);
    if (result) console.log(result);
  } catch (error) {
    console.error(`openid-person: ${error.message}`);
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
