// An OpenID provider on loopback, for tests. Start it with tests/lab/openid-provider.
//
//   --port N             where it listens; 0, the default, takes a free port
//   --client ID          the one client, which is public (heph)
//   --audience NAME      `aud` of an access token (heph)
//   --redirect URI       one more place to return to; may be given again.
//                        http://127.0.0.1:*/ and …/callback are allowed anyway
//   --access-secs N      life of an access token and of an ID token (300)
//   --refresh-secs N     life of a refresh token (14 days)
//   --device-secs N      life of a device code (600)
//   --interval N         seconds between two polls of a device (1)
//   --slow-down-step N   what `slow_down` adds to that (5)
//   --no-rotation        a refresh token stays the same
//   --reuse-leeway N     for N seconds a used refresh token is taken once more.
//                        Without it (0), reuse ends everything that came of it
//   --until-eof          ends when its standard input does
//
// When it listens it prints one line: {"issuer":"http://127.0.0.1:N","lab":"http://127.0.0.1:M"}.
// `lab` is where a test makes things go wrong: see README.md.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { newControl } from './control.mjs';
import { Front } from './front.mjs';
import { Keys } from './keys.mjs';
import { newProvider } from './openid.mjs';
import { Pace } from './pace.mjs';
import { Store } from './store.mjs';

const text = (value) => ({ type: 'string', default: value });

function readOptions() {
  const { values } = parseArgs({
    options: {
      port: text('0'),
      client: text('heph'),
      audience: text('heph'),
      redirect: { type: 'string', multiple: true, default: [] },
      'access-secs': text('300'),
      'refresh-secs': text(`${14 * 24 * 60 * 60}`),
      'device-secs': text('600'),
      interval: text('1'),
      'slow-down-step': text('5'),
      'no-rotation': { type: 'boolean', default: false },
      'reuse-leeway': text('0'),
      'until-eof': { type: 'boolean', default: false },
    },
  });
  const number = (name) => {
    if (!/^\d+$/.test(values[name])) throw new Error(`--${name} takes a number`);
    return Number(values[name]);
  };
  return {
    port: number('port'),
    client: values.client,
    audience: values.audience,
    redirects: values.redirect,
    accessSecs: number('access-secs'),
    refreshSecs: number('refresh-secs'),
    deviceSecs: number('device-secs'),
    interval: number('interval'),
    slowDownStep: number('slow-down-step'),
    rotation: !values['no-rotation'],
    reuseLeeway: number('reuse-leeway'),
    untilEof: values['until-eof'],
  };
}

class Lab {
  front = new Front();
  keys = new Keys();

  constructor(options) {
    this.options = options;
    this.store = new Store(options.reuseLeeway);
    this.pace = new Pace(options.interval, options.slowDownStep);
  }

  async start() {
    const control = createServer(newControl(this));
    this.lab = `http://127.0.0.1:${await listen(control, 0)}`;
    this.front.elsewhere = `${this.lab}/elsewhere`;
    // It listens before there is a provider: a provider must know its address.
    await this.#listen(this.options.port);
    this.issuer = `http://127.0.0.1:${this.port}`;
    this.renew();
  }

  // The library takes its keys once. A new provider on the old store is new keys.
  renew() {
    const { issuer, options, keys, store } = this;
    const { patch } = this.front;
    const pace = this.pace.middleware;
    this.front.provider = newProvider({ issuer, options, keys, store, pace, patch }).callback();
  }

  async down(how) {
    if (!['refuse', '503', 'hang'].includes(how)) throw new Error(`there is no way of being down called ${how}`);
    this.front.down = how;
    if (how === 'refuse') {
      this.server.close();
      this.server.closeAllConnections();
    }
  }

  async up() {
    if (!this.server.listening) await this.#listen(this.port);
    // Whoever was kept waiting is not served late.
    if (this.front.down === 'hang') this.server.closeAllConnections();
    this.front.down = null;
  }

  goodToken() {
    const now = Math.floor(Date.now() / 1000);
    return {
      header: { alg: 'RS256', typ: 'at+jwt', kid: this.keys.current.public.kid },
      claims: {
        iss: this.issuer,
        aud: this.options.audience,
        sub: 'alice',
        client_id: this.options.client,
        jti: randomUUID(),
        iat: now,
        exp: now + this.options.accessSecs,
      },
    };
  }

  async #listen(port) {
    this.server = createServer(this.front.handle);
    this.port = await listen(this.server, port);
  }
}

async function listen(server, port) {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

function optionsOrStop() {
  try {
    return readOptions();
  } catch (error) {
    console.error(`openid-provider: ${error.message}`);
    return process.exit(2);
  }
}

const options = optionsOrStop();
const lab = new Lab(options);
await lab.start();
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
if (options.untilEof) process.stdin.resume().on('end', () => process.exit(0));
console.log(JSON.stringify({ issuer: lab.issuer, lab: lab.lab }));
