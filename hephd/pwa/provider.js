// The OpenID provider's side of a login: its document, the authorization code
// with PKCE (RFC 7636), fresh tokens, taking one back (RFC 7009). Keeps
// nothing but the provider's document; who keeps tokens is session.js.

import { ask, Unreachable } from './web.js';

const SCOPES = ['openid', 'offline_access', 'email', 'profile'];

/** The provider answered, and the answer is no. The message is for people. */
export class LoginRefused extends Error {}

const documents = new Map();

/** The provider's document: where to send people, and what for. */
export async function discover(issuer) {
  if (documents.has(issuer)) return documents.get(issuer);
  const bare = (url) => url.replace(/\/$/, '');
  const url = `${bare(issuer)}/.well-known/openid-configuration`;
  const { status, body } = await ask('provider', url);
  if (status !== 200) throw new Unreachable('provider', `status ${status}`);
  // Another issuer's document would send the code, and the person, elsewhere.
  if (typeof body?.issuer !== 'string' || bare(body.issuer) !== bare(issuer)) {
    throw new LoginRefused(`${url} is not the document of ${issuer}. Mend the hub’s --oidc-issuer.`);
  }
  for (const name of ['authorization_endpoint', 'token_endpoint']) {
    if (!isWeb(body[name])) throw new LoginRefused(`${url} names no ${name}.`);
  }
  documents.set(issuer, body);
  return body;
}

/** Nothing but the web: `javascript:` is a URL too. */
function isWeb(url) {
  return typeof url === 'string' && /^https?:\/\//i.test(url);
}

/** Where to send the person, and what to remember until they come back. */
export async function prepare(config) {
  const provider = await discover(config.issuer);
  const [state, nonce, verifier] = [draw(), draw(), draw()];
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  const offered = provider.scopes_supported ?? SCOPES;
  const scopes = SCOPES.filter((scope) => offered.includes(scope));
  const url = new URL(provider.authorization_endpoint);
  const query = {
    client_id: config.client_id,
    redirect_uri: here(),
    response_type: 'code',
    scope: scopes.join(' '),
    state,
    nonce,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: 'S256',
  };
  // OpenID Core 11: without consent offline_access may be ignored, and then
  // the login ends with its first token.
  if (scopes.includes('offline_access')) query.prompt = 'consent';
  Object.entries(query).forEach(([name, value]) => url.searchParams.set(name, value));
  return { url: url.href, pending: { state, nonce, verifier, issuer: config.issuer } };
}

/** A code becomes tokens, and tells who the person is. */
export async function redeem(config, pending, code, iss) {
  const provider = await discover(config.issuer);
  // RFC 9207: the code of another provider is not for this one's token endpoint.
  if (iss !== null && iss !== provider.issuer) {
    throw new LoginRefused('The answer came from another login provider.');
  }
  const tokens = await fetchTokens(config, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: here(),
    code_verifier: pending.verifier,
  });
  // It comes straight from the token endpoint, so TLS vouches for it
  // (OpenID Core 3.1.3.7); the hub verifies what it is shown by itself.
  const claims = readClaims(tokens.id_token);
  const mine = [claims.aud].flat().includes(config.client_id);
  if (claims.iss !== provider.issuer || !mine || claims.nonce !== pending.nonce || !claims.sub) {
    throw new LoginRefused('The login provider’s answer is not for this sign-in.');
  }
  const name = claims.email || claims.preferred_username || claims.name || claims.sub;
  return { tokens, who: { sub: String(claims.sub), name: String(name) } };
}

/** Fresh tokens for a refresh token. */
export function renew(config, refresh_token) {
  return fetchTokens(config, { grant_type: 'refresh_token', refresh_token });
}

/** The refresh token is worth nothing from now on. Best effort. */
export async function revoke(config, token) {
  const provider = await discover(config.issuer);
  if (!isWeb(provider.revocation_endpoint)) return;
  await post(provider.revocation_endpoint, {
    token,
    token_type_hint: 'refresh_token',
    client_id: config.client_id,
  });
}

async function fetchTokens(config, fields) {
  const provider = await discover(config.issuer);
  const { status, body } = await post(provider.token_endpoint, {
    ...fields,
    client_id: config.client_id,
  });
  if (status >= 500 || status === 429) throw new Unreachable('provider', `status ${status}`);
  if (status !== 200 || typeof body?.access_token !== 'string') {
    throw new LoginRefused(body?.error_description || body?.error || `It answered ${status}.`);
  }
  return body;
}

function post(url, fields) {
  // A form needs no preflight, and a login never rides on a cookie.
  return ask('provider', url, {
    method: 'POST',
    credentials: 'omit',
    body: new URLSearchParams(fields),
  });
}

function here() {
  return `${location.origin}/`;
}

function draw() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (c) => ({ '+': '-', '/': '_' })[c] ?? '');
}

function readClaims(token) {
  try {
    const text = atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  } catch {
    throw new LoginRefused('The login provider’s answer does not say who you are.');
  }
}
