// Calls the hub: POST /rpc, JSON-RPC 2.0, with this tab's token.

import { over, replace, token } from './session.js';
import { ask, Unreachable } from './web.js';

/** The hub answered, and the answer is no. The message is for people. */
export class Refused extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

let calls = 0;

/** The method's result. */
export async function call(method, params) {
  const { status, body } = await send({ jsonrpc: '2.0', id: ++calls, method, params });
  const message = body?.error?.message;
  if (status === 200 && body?.jsonrpc === '2.0') {
    if (!body.error) return body.result;
    const { code, hint } = body.error.data ?? {};
    throw new Refused([message, hint].filter(Boolean).join(': '), code, status);
  }
  if (message) throw new Refused(message, body.error.code, status);
  // A proxy, a captive portal, whatever: no hub speaks so.
  throw new Unreachable('hub', `status ${status}`);
}

async function send(request) {
  const first = await token();
  const answer = await post(request, first);
  if (answer.status !== 401) return answer;
  if (first) await replace(first);
  const second = first && (await post(request, await token()));
  if (second && second.status !== 401) return second;
  throw over(first ? 'The hub does not accept this login. Sign in again.' : 'The hub asks for a login now.');
}

function post(request, bearer) {
  const headers = { 'Content-Type': 'application/json' };
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  return ask('hub', '/rpc', { method: 'POST', headers, body: JSON.stringify(request) });
}
