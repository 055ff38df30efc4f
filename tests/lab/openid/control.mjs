// What a test may do to the provider, on a port of its own. Every request is
// described in README.md beside this file.
import { discovery, pathOf, plain } from './front.mjs';

export function newControl(lab) {
  const { front, keys, store } = lab;
  const routes = {
    'GET /lab/counts': () => front.counts(),
    'GET /lab/requests': () => front.requests(),
    'POST /lab/forget-requests': () => front.forgetRequests(),
    'GET /lab/keys': () => keys.public(),
    'POST /lab/rotate-keys': () => {
      keys.rotate();
      lab.renew();
      return { kid: keys.current.public.kid };
    },
    'POST /lab/revoke-all': () => store.revokeAll(),
    'POST /lab/down': ({ query }) => lab.down(query.get('how') ?? 'refuse'),
    'POST /lab/up': () => lab.up(),
    'POST /lab/lose-next-answer': ({ query }) =>
      front.setAnswer(need(query, 'path'), { mode: 'lost', times: Number(query.get('times') ?? 1) }),
    'POST /lab/answer': ({ query, body }) => front.setAnswer(need(query, 'path'), body),
    'POST /lab/jwks': ({ body }) => front.setAnswer('/jwks', body),
    'POST /lab/discovery': ({ body }) => front.setAnswer(discovery, wrongIssuer(body)),
    'POST /lab/sign': ({ body }) => ({ token: keys.sign(lab.goodToken(), body) }),
  };

  return async (req, res) => {
    const path = pathOf(req);
    // Where a redirect leads: the same answer, from a host nobody was told of.
    if (path.startsWith('/elsewhere/')) return fromElsewhere(lab, req, res);
    const route = routes[`${req.method} ${path}`];
    if (!route) return json(res, 404, { error: `there is no ${req.method} ${path}` });
    try {
      const query = new URL(req.url, 'http://lab').searchParams;
      return json(res, 200, (await route({ query, body: await read(req) })) ?? {});
    } catch (error) {
      return json(res, 400, { error: error.message });
    }
  };
}

function fromElsewhere({ front, issuer }, req, res) {
  front.requests().push({ method: req.method, path: pathOf(req), at: Date.now() });
  req.url = req.url.slice('/elsewhere'.length);
  req.headers.host = new URL(issuer).host;
  front.provider(req, res);
}

function wrongIssuer(body) {
  if (body.mode !== 'wrong-issuer') return body;
  return { ...body, mode: 'normal', patch: { issuer: 'https://somebody-else.example' } };
}

function need(query, name) {
  const value = query.get(name);
  if (!value) throw new Error(`?${name}= is missing`);
  return value;
}

async function read(req) {
  let text = '';
  for await (const part of req) text += part;
  return text ? JSON.parse(text) : {};
}

const json = (res, status, value) => plain(res, status, 'application/json', `${JSON.stringify(value)}\n`);
