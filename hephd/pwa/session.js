// This tab's login: where it lies, how it stays fresh, how it ends.
//
// Tokens lie in sessionStorage: they live as long as the tab and survive a
// reload, but no other tab and no later day finds them. A script put into the
// page could read them there as anywhere else; the wall against that is the
// Content-Security-Policy, and that nothing here is ever parsed as HTML.

import { LoginRefused, prepare, redeem, renew, revoke } from './provider.js';
import { read, write } from './storage.js';
import { Unreachable } from './web.js';

const SESSION = 'heph.session';
const PENDING = 'heph.pending';

/** The login is over. The message says why, for people. */
export class LoginOver extends Error {}

let config = null;
let session = null;
let refreshing = null;

/** Takes up this tab's login again; a login with another provider is none. */
export function resume(hub) {
  config = hub;
  session = read('sessionStorage', SESSION);
  const same = session?.issuer === hub.issuer && session?.client_id === hub.client_id;
  if (session && !same) forget();
}

/** `{sub, name}` of who is signed in; null for nobody. */
export function who() {
  return session?.who ?? null;
}

/** Leaves for the provider's page. */
export async function signIn() {
  const { url, pending } = await prepare(config);
  write('sessionStorage', PENDING, pending);
  location.assign(url);
}

/** Takes the provider's answer out of the address, at once: a code in it
 *  would stay in the history. Null where there is none. */
export function takeAnswer() {
  const query = new URLSearchParams(location.search);
  if (!query.has('code') && !query.has('error')) return null;
  history.replaceState(null, '', '/');
  return query;
}

/** Back from the provider's page: signs in, or says why not. */
export async function finish(answer) {
  const pending = read('sessionStorage', PENDING);
  write('sessionStorage', PENDING, null);
  // Somebody else's code must not sign this person in as somebody else.
  if (!pending || pending.state !== answer.get('state') || pending.issuer !== config.issuer) {
    throw new LoginRefused('That sign-in did not begin in this tab. Begin again.');
  }
  if (answer.get('error') === 'access_denied') throw new LoginRefused('The sign-in was cancelled.');
  if (answer.has('error')) {
    throw new LoginRefused(answer.get('error_description') || answer.get('error'));
  }
  const { tokens, who } = await redeem(config, pending, answer.get('code'), answer.get('iss'));
  session = { issuer: config.issuer, client_id: config.client_id, who };
  keep(tokens);
}

/** An access token that is still good; null where the hub asks for none. */
export async function token() {
  if (!config?.issuer) return null;
  if (!session) throw new LoginOver('You are signed out.');
  if (Date.now() < session.renew_at) return session.access_token;
  try {
    await refresh();
  } catch (error) {
    const usable = error instanceof Unreachable && Date.now() < session.expires_at;
    if (!usable) throw error;
  }
  return session.access_token;
}

/** The hub does not take this token: gets another, unless one has come since. */
export async function replace(stale) {
  if (session?.access_token === stale) await refresh();
}

/** One at a time: a provider takes a refresh token that comes twice for stolen. */
function refresh() {
  refreshing ??= renewed().finally(() => {
    refreshing = null;
  });
  return refreshing;
}

async function renewed() {
  if (!session?.refresh_token) throw over('Your login has ended. Sign in again.');
  const old = session;
  try {
    const tokens = await renew(config, old.refresh_token);
    if (session === old) keep(tokens);
  } catch (error) {
    if (error instanceof LoginRefused) throw over('Your login has ended. Sign in again.');
    throw error;
  }
}

/** Forgets the login; gives the error that says why. */
export function over(why) {
  forget();
  return new LoginOver(why);
}

/** Signs out here, at once, and tells the provider as far as it listens. */
export async function signOut() {
  const refresh_token = session?.refresh_token;
  forget();
  if (refresh_token) await revoke(config, refresh_token).catch(() => {});
}

function keep({ access_token, refresh_token, expires_in }) {
  const life = Number(expires_in) > 0 ? Number(expires_in) * 1000 : 60_000;
  session = {
    ...session,
    access_token,
    // Not every provider rotates: the old one is good until a new one comes.
    refresh_token: refresh_token ?? session.refresh_token,
    renew_at: Date.now() + life - Math.min(60_000, life / 4),
    expires_at: Date.now() + life,
  };
  write('sessionStorage', SESSION, session);
}

function forget() {
  session = null;
  write('sessionStorage', SESSION, null);
}
