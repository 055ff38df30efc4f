// What can be said of an error, in a sentence for people.

import { Refused } from './hub.js';
import { LoginRefused } from './provider.js';
import { LoginOver } from './session.js';
import { Unreachable } from './web.js';

export const NO_HUB = 'Offline: the hub cannot be reached.';

/** A sentence; an error that nobody foresaw is thrown on. */
export function trouble(error, issuer) {
  if (error instanceof Unreachable) return error.whose === 'hub' ? NO_HUB : noProvider(issuer);
  if (error instanceof Refused && error.status === 403) {
    return `The hub knows you, and lets you see nothing: ${error.message}.`;
  }
  if (error instanceof Refused) return `The hub says: ${error.message}.`;
  if (error instanceof LoginRefused || error instanceof LoginOver) return error.message;
  throw error;
}

/** A browser does not tell a page which of these it is. */
function noProvider(issuer) {
  const { host } = new URL(issuer);
  return `The login provider ${host} cannot be reached: it is down, or does not let this page ask (CORS).`;
}
