// The offline shell: the page itself, without anybody's data.
//
// The network comes first and the cache stands in when it is down: then the
// page always belongs to the hub that it talks to, with that hub's policy of
// whom it may ask (a cached page would keep the old issuer's). The hub answers
// 304 for what has not changed, so this costs one short round trip.
//
// Only the files of this list are ever kept. `/config`, `/rpc`, `/sync`, the
// login provider and every other path do not pass through here. The page's
// query is not looked at, sent or kept: a login's code may be in it.

const CACHE = 'heph-shell-1';
const SHELL = [
  '/',
  '/app.js',
  '/board.js',
  '/config.js',
  '/dates.js',
  '/draft.js',
  '/hub.js',
  '/icon.svg',
  '/list.js',
  '/manifest.webmanifest',
  '/provider.js',
  '/sending.js',
  '/session.js',
  '/storage.js',
  '/style.css',
  '/tasks.js',
  '/ticks.js',
  '/trouble.js',
  '/view.js',
  '/web.js',
];

/** How long the network may take before the cache answers. */
const PATIENCE_MS = 2_500;
/** Then the whole page comes from the cache, and not a part of each. */
const ASIDE_MS = 5_000;
let cachedUntil = 0;

self.addEventListener('install', (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL.map(fresh))));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(Promise.all([self.clients.claim(), dropOldCaches()]));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const path = url.pathname === '/index.html' ? '/' : url.pathname;
  if (request.method !== 'GET' || url.origin !== location.origin || !SHELL.includes(path)) return;
  event.respondWith(answer(path, event));
});

async function answer(path, event) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(path);
  if (kept && Date.now() < cachedUntil) return kept;
  const coming = fetch(fresh(path)).then(async (response) => {
    if (response.ok) await cache.put(path, response.clone());
    return response;
  });
  event.waitUntil(coming.catch(() => {}));
  if (!kept) return coming;
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  const found = await Promise.race([coming.catch(() => {}), late]);
  if (found?.ok) return found;
  cachedUntil = Date.now() + ASIDE_MS;
  return kept;
}

/** Asked of the hub, which says whether it has changed. */
function fresh(path) {
  return new Request(path, { cache: 'no-cache' });
}

async function dropOldCaches() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}
