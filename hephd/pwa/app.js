// Starts the page and listens: to the person, to the network, to the clock.
//
// web ← config, provider ← session ← hub ← tasks ← ticks, sending ← board → list, view

import * as board from './board.js';
import { readConfig } from './config.js';
import { drop, isUnsaved, type } from './draft.js';
import * as session from './session.js';
import { NO_HUB, trouble } from './trouble.js';
import * as view from './view.js';

const EVERY_MS = 60_000;
const SOONEST_MS = 5_000;

const { parts } = view;
let config = null;
let wait = SOONEST_MS;
let timer = 0;

/** From nothing to the door or the day. The provider's answer is taken out of
 *  the address before anything else happens. */
async function start(answer = null) {
  config = await readConfig();
  if (!config) {
    return view.showGate({ title: 'Offline', why: `${NO_HUB} Nothing is lost.`, can: 'again' });
  }
  if (!config.issuer) return enter(null);
  session.resume(config);
  if (answer) {
    try {
      await session.finish(answer);
    } catch (error) {
      return showDoor(trouble(error, config.issuer));
    }
  }
  return session.who() ? enter(session.who()) : showDoor();
}

function showDoor(why = '') {
  leaveDay();
  if (!config.live) {
    return view.showGate({ title: 'Offline', why: why || NO_HUB, can: 'again' });
  }
  if (!globalThis.crypto?.subtle) {
    const name = location.host;
    why = `This page came over plain http, where a browser cannot sign in. Open https://${name} instead; docs/how-to/log-in.md says how to set that up.`;
    return view.showGate({ title: 'Not over plain http', why });
  }
  const where = new URL(config.issuer).host;
  return view.showGate({ title: 'Sign in', why, where, can: 'sign-in' });
}

function enter(who) {
  view.showDay(who?.name ?? null);
  board.begin(who?.sub ?? null, troubleInDay);
  if (matchMedia('(pointer: fine)').matches) parts.box.focus();
  return refresh();
}

function leaveDay() {
  clearTimeout(timer);
  timer = 0;
  board.end();
}

/** Asks again every minute while somebody looks; sooner, then ever later,
 *  while nobody answers. */
async function refresh() {
  clearTimeout(timer);
  const went = await board.load();
  if (parts.day.hidden) return;
  if (went && !config.live) await checkConfig();
  wait = went ? SOONEST_MS : Math.min(wait * 2, EVERY_MS);
  timer = setTimeout(() => document.hidden || refresh(), went ? EVERY_MS : wait);
}

/** What was remembered may be out of date by now. */
async function checkConfig() {
  const fresh = await readConfig();
  if (!fresh?.live) return;
  if (fresh.issuer !== config.issuer || fresh.client_id !== config.client_id) location.reload();
  config = fresh;
}

function look() {
  if (document.hidden) return;
  if (!parts.day.hidden) refresh();
  else if (!document.getElementById('gate-again').hidden) start();
}

/** What can be said of an error within the day; null where the day is over. */
function troubleInDay(error) {
  const what = trouble(error, config.issuer);
  if (!(error instanceof session.LoginOver)) return what;
  // An answer that comes after a sign-out is nobody's.
  if (!parts.day.hidden) showDoor(what);
  return null;
}

parts.signIn.addEventListener('click', async () => {
  view.leaving(true);
  try {
    await session.signIn();
  } catch (error) {
    showDoor(trouble(error, config.issuer));
  } finally {
    view.leaving(false);
  }
});

parts.signOut.addEventListener('click', async () => {
  if (isUnsaved() && !(await view.askToDrop())) return;
  drop();
  const gone = session.signOut();
  showDoor(`You are signed out here. You may still be signed in at ${new URL(config.issuer).host}.`);
  await gone;
});

parts.form.addEventListener('submit', (event) => {
  event.preventDefault();
  board.add();
});

parts.box.addEventListener('input', () => type(parts.box.value));

parts.day.addEventListener('change', ({ target }) => {
  if (target.matches('.tick')) board.tick(target.closest('li').dataset.id, target.checked);
});

parts.day.addEventListener('click', ({ target }) => {
  if (target.matches('.more')) board.showMore(target.dataset.list);
});

parts.again.addEventListener('click', refresh);
document.getElementById('gate-again').addEventListener('click', () => start());
document.addEventListener('visibilitychange', look);
window.addEventListener('online', look);

// Not over plain http: a browser has no service workers there.
navigator.serviceWorker?.register('/sw.js').catch(() => {});

await start(session.takeAnswer());
