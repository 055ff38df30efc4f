// Shows that the lab's provider does what tests rely on. A test that trusts a
// fault which never happens proves nothing. tests/lab/self-check runs it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { load } from './packages.mjs';
import { approve, authorize, deny } from './person.mjs';

const { jwtVerify, createRemoteJWKSet, decodeProtectedHeader } = await load('jose');
const program = fileURLToPath(new URL('provider.mjs', import.meta.url));
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const page = 'http://127.0.0.1:8787';

class Provider {
  static async start(...flags) {
    const child = spawn(process.execPath, [program, '--until-eof', ...flags], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(createInterface(child.stdout), 'line');
    return Object.assign(new Provider(), { child, ...JSON.parse(line) });
  }

  stop() {
    this.child.stdin.end();
    return new Promise((resolve) => this.child.on('exit', resolve));
  }

  post = (path, form, headers = {}) =>
    fetch(this.issuer + path, { method: 'POST', headers, body: new URLSearchParams({ client_id: 'heph', ...form }) });

  async token(form) {
    const answer = await this.post('/token', form);
    return { status: answer.status, ...(await answer.json()) };
  }

  refresh = (token) => this.token({ grant_type: 'refresh_token', refresh_token: token });
  poll = (device) => this.token({ grant_type: deviceGrant, device_code: device.device_code });

  async device() {
    return (await this.post('/device/auth', { scope: 'openid offline_access email profile' })).json();
  }

  async signedIn() {
    const device = await this.device();
    await approve(device.verification_uri, device.user_code, 'alice');
    return this.poll(device);
  }

  async control(request, body) {
    const [method, path] = request.split(' ');
    const answer = await fetch(this.lab + path, { method, body: body && JSON.stringify(body) });
    assert.equal(answer.status, 200, await answer.clone().text());
    return answer.json();
  }

  verify(token, typ) {
    const keys = createRemoteJWKSet(new URL(`${this.issuer}/jwks`));
    return jwtVerify(token, keys, { issuer: this.issuer, audience: 'heph', typ });
  }
}

const checks = {
  async 'a device signs in, with tokens that verify'(p) {
    const device = await p.device();
    assert.equal(device.interval, 1);
    assert.equal((await p.poll(device)).error, 'authorization_pending');
    await approve(device.verification_uri, device.user_code, 'alice');
    const tokens = await p.poll(device);
    assert.equal(tokens.token_type, 'Bearer');
    assert.ok(tokens.refresh_token);
    const access = await p.verify(tokens.access_token, 'at+jwt');
    assert.equal(access.protectedHeader.alg, 'RS256');
    assert.equal(access.payload.sub, 'alice');
    assert.equal(access.payload.scope, tokens.scope);
    assert.equal(tokens.scope, 'openid offline_access email profile');
    assert.equal(access.payload.exp - access.payload.iat, 300);
    const id = await p.verify(tokens.id_token);
    assert.equal(id.payload.email, 'alice@example.test');
    assert.equal((await p.poll(device)).error, 'invalid_grant');
  },

  async 'a device is denied'(p) {
    const device = await p.device();
    await deny(device.verification_uri, device.user_code);
    assert.equal((await p.poll(device)).error, 'access_denied');
  },

  async 'a wrong user code is refused'(p) {
    const device = await p.device();
    await assert.rejects(approve(device.verification_uri, 'XXXX-XXXX', 'alice'), /incorrect/);
  },

  async 'a hasty device is slowed down for good'(p) {
    const device = await p.device();
    assert.equal((await p.poll(device)).error, 'authorization_pending');
    assert.equal((await p.poll(device)).error, 'slow_down');
    // 1.2 s would do for the first interval, and no longer does: it is 3 s now.
    await sleep(1200);
    assert.equal((await p.poll(device)).error, 'slow_down');
    await approve(device.verification_uri, device.user_code, 'alice');
    assert.ok((await p.poll(device)).access_token);
  },

  async 'a refresh token is used once'(p) {
    const first = await p.signedIn();
    const second = await p.refresh(first.refresh_token);
    assert.notEqual(second.refresh_token, first.refresh_token);
    assert.equal((await p.refresh(first.refresh_token)).error, 'invalid_grant');
    assert.equal((await p.refresh(second.refresh_token)).error, 'invalid_grant');
  },

  async 'a lost answer takes the refresh token with it'(p) {
    const { refresh_token: token } = await p.signedIn();
    await p.control('POST /lab/lose-next-answer?path=/token');
    await assert.rejects(p.refresh(token), TypeError);
    assert.equal((await p.refresh(token)).error, 'invalid_grant');
  },

  async 'a token is revoked'(p) {
    const { refresh_token: token } = await p.signedIn();
    assert.equal((await p.post('/token/revocation', { token })).status, 200);
    assert.equal((await p.refresh(token)).error, 'invalid_grant');
  },

  async 'everything is revoked'(p) {
    const { refresh_token: token } = await p.signedIn();
    await p.control('POST /lab/revoke-all');
    assert.equal((await p.refresh(token)).error, 'invalid_grant');
    assert.ok((await p.signedIn()).refresh_token);
  },

  async 'a page signs in with PKCE, from another origin'(p) {
    const verifier = randomBytes(32).toString('base64url');
    const url = new URL(`${p.issuer}/auth`);
    url.search = new URLSearchParams({
      client_id: 'heph',
      response_type: 'code',
      redirect_uri: `${page}/`,
      scope: 'openid offline_access email',
      prompt: 'consent',
      state: 's',
      nonce: 'n',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    });
    const back = new URL(await authorize(url.href, 'bob'));
    assert.equal(back.origin, page);
    assert.equal(back.searchParams.get('state'), 's');
    const form = {
      grant_type: 'authorization_code',
      code: back.searchParams.get('code'),
      redirect_uri: `${page}/`,
      code_verifier: verifier,
    };
    const answer = await p.post('/token', form, { origin: page });
    assert.equal(answer.headers.get('access-control-allow-origin'), page);
    const tokens = await answer.json();
    assert.ok(tokens.refresh_token);
    assert.equal((await p.verify(tokens.id_token)).payload.nonce, 'n');
    const other = new URL(url);
    other.searchParams.delete('code_challenge');
    assert.match(await authorize(other.href, 'bob'), /error=invalid_request/);
    url.searchParams.set('redirect_uri', 'http://127.0.0.1:1/elsewhere');
    await assert.rejects(authorize(url.href, 'bob'), /redirect_uri/);
  },

  async 'redirects over TLS are those that were named'(p) {
    const url = `${p.issuer}/auth?client_id=heph&response_type=code&scope=openid&redirect_uri=`;
    assert.match(await authorize(`${url}https://localhost:8443/`, 'bob'), /^https:\/\/localhost:8443\/\?error/);
    await assert.rejects(authorize(`${url}https://localhost:8444/`, 'bob'), /redirect_uri/);
  },

  async 'keys rotate, and nobody is signed out'(p) {
    const before = await p.signedIn();
    const { kid } = await p.control('POST /lab/rotate-keys');
    const published = (await (await fetch(`${p.issuer}/jwks`)).json()).keys.map((key) => key.kid);
    assert.deepEqual(published, [kid]);
    assert.notEqual(decodeProtectedHeader(before.access_token).kid, kid);
    await assert.rejects(p.verify(before.access_token), /no applicable key/);
    const after = await p.refresh(before.refresh_token);
    assert.equal((await p.verify(after.access_token)).protectedHeader.kid, kid);
  },

  async 'it is down in three ways'(p) {
    const address = `${p.issuer}/jwks`;
    await p.control('POST /lab/down');
    await assert.rejects(fetch(address), ({ cause }) => cause.code === 'ECONNREFUSED');
    await p.control('POST /lab/down?how=503');
    await p.control('POST /lab/up');
    await p.control('POST /lab/down?how=503');
    assert.equal((await fetch(address)).status, 503);
    await p.control('POST /lab/down?how=hang');
    await assert.rejects(fetch(address, { signal: AbortSignal.timeout(200) }), { name: 'TimeoutError' });
    await p.control('POST /lab/up');
    assert.equal((await fetch(address)).status, 200);
  },

  async 'its answers go wrong'(p) {
    const ask = async (mode, more = {}) => {
      await p.control('POST /lab/jwks', { mode, ...more });
      return fetch(`${p.issuer}/jwks`, { redirect: 'manual' });
    };
    assert.deepEqual(await (await ask('empty')).json(), { keys: [] });
    await assert.rejects((await ask('garbage')).json());
    assert.equal((await ask('error', { status: 502 })).status, 502);
    assert.deepEqual(await (await ask('error', { body: { error: 'x' }, times: 1 })).json(), { error: 'x' });
    assert.equal((await fetch(`${p.issuer}/jwks`)).status, 200);
    assert.equal((await (await ask('huge', { bytes: 1 << 20 })).arrayBuffer()).byteLength > 1 << 20, true);
    const began = Date.now();
    assert.equal((await ask('slow', { seconds: 0.3 })).status, 200);
    assert.ok(Date.now() - began > 250);
    const moved = await ask('redirect');
    assert.equal(moved.status, 302);
    const keys = await (await fetch(moved.headers.get('location'))).json();
    assert.equal(keys.keys.length, 1);
    assert.deepEqual(await (await ask('normal')).json(), keys);
  },

  async 'discovery lies'(p) {
    const ask = async (body) => {
      await p.control('POST /lab/discovery', body);
      return (await fetch(`${p.issuer}/.well-known/openid-configuration`)).json();
    };
    assert.equal((await ask({ mode: 'normal' })).issuer, p.issuer);
    assert.equal((await ask({ mode: 'wrong-issuer' })).issuer, 'https://somebody-else.example');
    const changed = await ask({ patch: { jwks_uri: 'http://127.0.0.1:1/' }, drop: ['token_endpoint'] });
    assert.equal(changed.jwks_uri, 'http://127.0.0.1:1/');
    assert.equal('token_endpoint' in changed, false);
    assert.equal((await ask({ mode: 'normal' })).jwks_uri, `${p.issuer}/jwks`);
  },

  async 'it signs tokens of any shape'(p) {
    const sign = async (asked) => (await p.control('POST /lab/sign', asked)).token;
    const good = await p.verify(await sign({}), 'at+jwt');
    assert.equal(good.payload.sub, 'alice');
    const odd = await p.verify(await sign({ claims: { sub: 7, roles: ['x'] }, drop_claims: ['client_id'] }));
    assert.equal(odd.payload.sub, 7);
    assert.equal('client_id' in odd.payload, false);
    await assert.rejects(p.verify(await sign({ key: 'other' })), /signature verification failed/);
    await assert.rejects(p.verify(await sign({ drop_claims: ['exp'], claims: { aud: 'x' } })), /"aud"/);
    const hmac = await sign({ header: { alg: 'HS256' }, key: 'hmac-with-public-key' });
    const { current } = await p.control('GET /lab/keys');
    await jwtVerify(hmac, Buffer.from(current.pem), { audience: 'heph' });
    const none = await sign({ header: { alg: 'none', jku: 'http://x' }, drop_header: ['kid'], key: 'none' });
    assert.deepEqual(decodeProtectedHeader(none), { alg: 'none', typ: 'at+jwt', jku: 'http://x' });
    assert.ok(none.endsWith('.'));
    const raw = await sign({ payload: 'not json' });
    assert.equal(Buffer.from(raw.split('.')[1], 'base64url').toString(), 'not json');
    await p.verify(await sign({ header: { alg: 'RS512' } })).catch(({ code }) => assert.equal(code, 'ERR_JWKS_NO_MATCHING_KEY'));
  },

  async 'it counts what it is asked'(p) {
    const { refresh_token: token } = await p.signedIn();
    await p.control('POST /lab/forget-requests');
    await p.refresh(token);
    await fetch(`${p.issuer}/jwks?x=1`, { headers: { origin: page } });
    assert.deepEqual(await p.control('GET /lab/counts'), { '/token': 1, '/jwks': 1 });
    const [refresh, jwks] = await p.control('GET /lab/requests');
    assert.equal(refresh.grant_type, 'refresh_token');
    assert.equal(refresh.status, 200);
    assert.equal(jwks.origin, page);
  },
};

// What needs a provider of its own.
const others = {
  async 'within the leeway a lost answer heals'() {
    const p = await Provider.start('--reuse-leeway', '2');
    const { refresh_token: token } = await p.signedIn();
    await p.control('POST /lab/lose-next-answer?path=/token');
    await assert.rejects(p.refresh(token), TypeError);
    await sleep(1000);
    const healed = await p.refresh(token);
    assert.ok((await p.refresh(healed.refresh_token)).access_token);
    // The second use did not make it longer.
    await sleep(1200);
    assert.equal((await p.refresh(token)).error, 'invalid_grant');
    await p.stop();
  },

  async 'lives and names are as asked'() {
    const p = await Provider.start('--no-rotation', '--access-secs', '7', '--audience', 'hub', '--device-secs', '1');
    const tokens = await p.signedIn();
    assert.equal(tokens.expires_in, 7);
    assert.equal(JSON.parse(Buffer.from(tokens.access_token.split('.')[1], 'base64url')).aud, 'hub');
    assert.equal((await p.refresh(tokens.refresh_token)).refresh_token, tokens.refresh_token);
    const device = await p.device();
    await sleep(2000);
    assert.equal((await p.poll(device)).error, 'expired_token');
    await p.stop();
  },
};

async function main() {
  const shared = await Provider.start('--slow-down-step', '2', '--redirect', 'https://localhost:8443/');
  // The faults of one check would be another's: only those apart run beside them.
  const apart = Object.entries(others).map(([name, check]) => run(name, check));
  const failed = [];
  for (const [name, check] of Object.entries(checks)) failed.push(await run(name, () => check(shared)));
  failed.push(...(await Promise.all(apart)));
  await shared.stop();
  const count = failed.filter(Boolean).length;
  console.log(`openid: ${failed.length - count} passed, ${count} failed`);
  process.exitCode = count ? 1 : 0;
}

async function run(name, check) {
  try {
    await check();
    return false;
  } catch (error) {
    console.error(`FAILED: ${name}\n${error.stack}`);
    return true;
  }
}

await main();
