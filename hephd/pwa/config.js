// What the hub says of itself: whether it asks for a login, and where.
//
// The last answer is remembered, so that the page can start without the hub.
// It holds nothing private: anybody may ask a hub for it.

import { read, write } from './storage.js';
import { ask, Unreachable } from './web.js';

const KEY = 'heph.config';
const DEADLINE_MS = 4_000;

/** `{issuer, client_id, live}`; null where no hub has ever answered here. */
export async function readConfig() {
  try {
    const { status, body } = await ask('hub', '/config', { deadline: DEADLINE_MS });
    if (status !== 200 || !body?.protocol) throw new Unreachable('hub', `status ${status}`);
    const config = { issuer: body.issuer, client_id: body.client_id };
    write('localStorage', KEY, config);
    return { ...config, live: true };
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    const known = read('localStorage', KEY);
    return known && { ...known, live: false };
  }
}
