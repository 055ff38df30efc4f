// What stands between the network and the provider: it counts requests, and it
// is where everything goes wrong that a test wants to go wrong.
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

export const discovery = '/.well-known/openid-configuration';
const none = { mode: 'normal' };

export class Front {
  // Set once the issuer is known: (req, res) => void, and where answers are kept.
  provider;
  elsewhere;
  // null, or how: '503' and 'hang' are done here, for 'refuse' nothing listens.
  down = null;
  #requests = [];
  #answers = new Map();

  handle = async (req, res) => {
    const path = pathOf(req);
    this.#record(req, res, path);
    if (this.down === '503') return plain(res, 503, 'text/plain', 'down\n');
    if (this.down === 'hang') return undefined;
    req.answer = this.#takeAnswer(path);
    if (req.answer.mode === 'slow') await sleep((req.answer.seconds ?? 30) * 1000);
    return this.#answer(req, res, path, req.answer);
  };

  setAnswer(path, answer) {
    if (!modes.includes(answer.mode ?? 'normal')) throw new Error(`there is no mode ${answer.mode}`);
    this.#answers.set(path, { ...none, times: Infinity, ...answer });
  }

  requests() {
    return this.#requests;
  }

  counts() {
    const counts = {};
    for (const { path } of this.#requests) counts[path] = (counts[path] ?? 0) + 1;
    return counts;
  }

  forgetRequests() {
    this.#requests = [];
  }

  // Inside the provider: notes what was granted, and changes members of an answer.
  patch = async (ctx, next) => {
    await next();
    if (ctx.req.record && ctx.oidc?.params?.grant_type) ctx.req.record.grant_type = ctx.oidc.params.grant_type;
    const { patch = {}, drop = [] } = ctx.req.answer ?? none;
    if (ctx.body?.constructor !== Object) return;
    ctx.body = { ...ctx.body, ...patch };
    for (const name of drop) delete ctx.body[name];
  };

  #answer(req, res, path, { mode, status = 500, body, bytes = 64 << 20 }) {
    switch (mode) {
      case 'empty':
        return plain(res, 200, 'application/json', path === '/jwks' ? '{"keys":[]}' : '{}');
      case 'garbage':
        return plain(res, 200, 'application/json', '<html>not what you asked for</html>');
      case 'error':
        if (body) return plain(res, status, 'application/json', JSON.stringify(body));
        return plain(res, status, 'text/plain', 'this went wrong\n');
      case 'lost':
        loseAnswer(req, res);
        return this.provider(req, res);
      case 'redirect':
        res.setHeader('Location', this.elsewhere + req.url);
        return plain(res, 302, 'text/plain', 'elsewhere\n');
      case 'huge':
        res.setHeader('Content-Type', 'application/json');
        return Readable.from(padding(bytes)).on('error', () => {}).pipe(res);
      default:
        return this.provider(req, res);
    }
  }

  #record(req, res, path) {
    const record = { method: req.method, path, at: Date.now() };
    if (req.headers.origin) record.origin = req.headers.origin;
    req.record = record;
    this.#requests.push(record);
    // null: the connection ended before there was an answer.
    res.on('close', () => {
      record.status = res.writableFinished ? res.statusCode : null;
    });
  }

  #takeAnswer(path) {
    const answer = this.#answers.get(path);
    if (!answer?.times) return none;
    answer.times -= 1;
    return answer;
  }
}

const modes = ['normal', 'empty', 'garbage', 'error', 'redirect', 'huge', 'slow', 'lost'];

export const pathOf = (req) => req.url.split('?', 1)[0];

export function plain(res, status, type, text) {
  res.statusCode = status;
  res.setHeader('Content-Type', type);
  res.end(text);
}

// The provider does its work, and whoever asked never hears of it.
function loseAnswer(req, res) {
  res.write = () => true;
  res.end = () => {
    req.socket.destroy();
    return res;
  };
}

// Valid JSON that does not end soon.
function* padding(bytes) {
  yield '{"keys":[],"padding":"';
  const block = 'x'.repeat(64 << 10);
  for (let sent = 0; sent < bytes; sent += block.length) yield block;
  yield '"}';
}
