// The day: the lists as the hub told them last, and what this tab has done
// since and the hub may not know yet. A person's tick or task is on the page
// at once; the hub confirms it, or it is taken back and said why.

import { clock, dayOf, heading } from './dates.js';
import * as draft from './draft.js';
import { clear, fill } from './list.js';
import * as tasks from './tasks.js';
import * as view from './view.js';

const { parts } = view;
const NAMES = ['today', 'overdue', 'done'];
const EMPTY = { tasks: [], more: false };

let day = dayOf();
let lists = null; // null until the hub has answered
let most = {};
let asOf = null;
/** Ticks of this tab: `{list, task, done, sent}`. They keep a row in its place. */
const ticks = new Map();
let loading = null;
let sending = Promise.resolve();
/** Counts what was written: an answer from before is no longer true. */
let writes = 0;
let trouble = () => {};

/** Begins anew, for whoever is signed in. `onTrouble(error)` says what can be
 *  said of an error, or ends the login and gives null. */
export function begin(sub, onTrouble) {
  trouble = onTrouble;
  draft.open(sub);
  end();
  parts.box.value = draft.text();
  show();
}

/** Nothing of it stays on the page or in memory. */
export function end() {
  lists = asOf = null;
  most = Object.fromEntries(NAMES.map((name) => [name, tasks.PAGE]));
  ticks.clear();
  clear();
  parts.box.value = '';
  [view.showNotice, view.showAtBox, view.say].forEach((show) => show(''));
}

/** Asks the hub for the day; true when it answered. */
export function load() {
  loading ??= reload().finally(() => {
    loading = null;
  });
  return loading;
}

async function reload() {
  const now = dayOf();
  try {
    if (draft.waiting().length) await send();
    [lists, day, asOf] = [await found(now), now, new Date()];
    forgetSettled();
    view.showNotice('');
    if (draft.settle((id) => NAMES.some((name) => isIn(name, id)))) {
      parts.box.value = '';
      view.showAtBox('');
    }
    show();
    return true;
  } catch (error) {
    tell(error);
    return false;
  }
}

async function found(now) {
  for (;;) {
    const before = writes;
    const lists = await tasks.load(now, most);
    if (writes === before) return lists;
  }
}

function isIn(name, id) {
  return Boolean(lists?.[name].tasks.some((task) => task.id === id));
}

/** What the hub tells by itself needs no tick kept. What was ticked here and
 *  is done keeps its row, so that it can be unticked where it was. */
function forgetSettled() {
  for (const [id, { busy, done }] of ticks) {
    const isOpen = isIn('today', id) || isIn('overdue', id);
    if (!busy && (isOpen || !done)) ticks.delete(id);
  }
}

/** Says of the whole page what is wrong. */
function tell(error) {
  const what = trouble(error);
  if (what === null) return;
  const rest = asOf
    ? `What you see is from ${clock(asOf)}.`
    : 'Your tasks lie on the hub, not in this browser; they are here again when it is.';
  view.showNotice(`${what} ${rest}`);
  show();
}

/** More of a list. */
export async function showMore(name) {
  most[name] += tasks.PAGE;
  await loading;
  await load();
}

/** Adds what the box holds, due today. */
export async function add() {
  const title = parts.box.value.toWellFormed?.().trim() ?? parts.box.value.trim();
  if (!title) return;
  draft.type(title);
  draft.depart({ id: tasks.drawId(), title, due: dayOf() });
  parts.box.value = '';
  view.showAtBox('');
  show();
  if (await send()) view.say(`Added: ${title}`);
}

/** Sends what is on its way, one after the other; true if all arrived. */
function send() {
  sending = sending.then(sendAll);
  return sending;
}

async function sendAll() {
  for (const task of [...draft.waiting()]) {
    try {
      const again = { ...task };
      draft.mark(task);
      await tasks.add(again);
      draft.arrived(task);
      writes += 1;
      if (lists && !isIn('today', task.id)) lists.today.tasks.push(shown(task));
    } catch (error) {
      const what = trouble(error);
      if (draft.giveBack(task)) parts.box.value = draft.text();
      if (what !== null) view.showAtBox(`Not saved. ${what} Your words are kept in the box.`);
      show();
      return false;
    }
  }
  show();
  return true;
}

function shown(task, pending = false) {
  return { ...task, fields: { due: task.due }, done: false, pending };
}

/** Ticks a task, or takes the tick away. */
export async function tick(id, done) {
  const list = NAMES.find((name) => isIn(name, id));
  const known = ticks.get(id);
  if (!list && !known) return;
  const task = known?.task ?? lists[list].tasks.find((task) => task.id === id);
  const entry = known ?? { list, task, sent: list === 'done' };
  entry.done = done;
  ticks.set(id, entry);
  show();
  // One at a time for each task: the last wish is the last to be written.
  entry.busy ??= settle(id, entry).finally(() => {
    entry.busy = null;
  });
  await entry.busy;
}

async function settle(id, entry) {
  while (entry.sent !== entry.done) {
    const wish = entry.done;
    try {
      await tasks.tick(id, wish);
      entry.sent = wish;
      writes += 1;
    } catch (error) {
      const what = trouble(error);
      entry.done = entry.sent;
      if (what !== null) view.showNotice(`Not ${wish ? 'ticked' : 'opened again'}: “${brief(entry.task.title)}”. ${what}`);
      show();
    }
  }
}

function brief(title) {
  const letters = [...title];
  return letters.length > 40 ? `${letters.slice(0, 39).join('')}…` : title;
}

/** A list as it stands: the hub's, with this tab's ticks in their places. */
function standing(name) {
  const { tasks: told, more } = lists?.[name] ?? EMPTY;
  const others = told.filter((task) => !ticks.has(task.id));
  const mine = [...ticks.values()].filter((entry) => entry.list === name);
  const all = [
    ...others.map((task) => ({ ...task, done: name === 'done' })),
    ...mine.map(({ task, done }) => ({ ...task, done })),
    ...(name === 'today' ? draft.waiting().map((task) => shown(task, true)) : []),
  ];
  return { all: all.sort(inOrder), more };
}

/** The hub's own order. */
function inOrder(a, b) {
  const key = (task) => [tasks.due(task), task.title, task.id];
  const [one, other] = [key(a), key(b)];
  const at = one.findIndex((part, i) => part !== other[i]);
  return at < 0 ? 0 : one[at] < other[at] ? -1 : 1;
}

/** Puts it all on the page. */
function show() {
  view.showHeading(heading());
  const counts = NAMES.map((name) => {
    const { all, more } = standing(name);
    fill(parts[name], all, day);
    const open = name === 'done' ? all.length : all.filter((task) => !task.done).length;
    view.showSection(name, all.length, open, more);
    return all.length;
  });
  view.showAsOf(asOf ? `As of ${clock(asOf)}` : '');
  const [today, overdue] = counts;
  if (lists === null || today) view.showEmpty('');
  else if (overdue) view.showEmpty('Nothing is due today.', 'What is left from before is below.');
  else view.showEmpty('Nothing is due today.', 'Add something above, or leave it so.');
}
