// The day: the lists as the hub told them last, with what this tab has done
// since. A person's tick or task is on the page at once; the hub confirms it,
// or it is taken back and said why.

import { clock, dayOf, heading } from './dates.js';
import * as draft from './draft.js';
import { clear, fill } from './list.js';
import { send } from './sending.js';
import * as tasks from './tasks.js';
import * as ticks from './ticks.js';
import * as view from './view.js';

const { parts } = view;
const NAMES = ['today', 'overdue', 'done'];

let day = dayOf();
/** Null until the hub has answered, then `{tasks, more}` by name. */
let lists = null;
let asOf = null;
let most = {};
let loading = null;
/** Counts what was written: a list from before is no longer true. */
let writes = 0;
let trouble = () => '';

/** Begins anew, for whoever is signed in. `onTrouble(error)` gives what can be
 *  said of an error, or ends the day and gives null. */
export function begin(sub, onTrouble) {
  trouble = onTrouble;
  end();
  draft.open(sub);
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
  view.showNotice('');
  view.showAtBox('');
}

/** Asks the hub for the day; true when it answered. */
export function load() {
  loading ??= reload().finally(() => {
    loading = null;
  });
  return loading;
}

async function reload() {
  view.showWaiting(lists === null);
  try {
    // Whichever ends first, the other takes note of it.
    if (draft.waiting().length) sendWaiting();
    const now = dayOf();
    [lists, day, asOf] = [await ask(now), now, new Date()];
  } catch (error) {
    sayOfAll(error);
    return false;
  } finally {
    view.showWaiting(false);
  }
  ticks.forgetTold((id) => isIn('today', id) || isIn('overdue', id));
  if (draft.settle((id) => NAMES.some((name) => isIn(name, id)))) {
    parts.box.value = '';
    view.showAtBox('');
  }
  view.showNotice('');
  show();
  return true;
}

async function ask(now) {
  for (;;) {
    const before = writes;
    const told = await tasks.load(now, most);
    if (writes === before) return told;
  }
}

function isIn(name, id) {
  return Boolean(lists?.[name].tasks.some((task) => task.id === id));
}

function sayOfAll(error) {
  const what = trouble(error);
  if (what === null) return;
  const rest = asOf
    ? `What you see is from ${clock(asOf)}.`
    : 'Your tasks lie on the hub, not in this browser; they are here again when it is.';
  view.showNotice(`${what} ${rest}`);
}

/** More of a list. */
export async function showMore(name) {
  const had = parts[name].childElementCount;
  most[name] += tasks.PAGE;
  await loading;
  await load();
  // The button may be gone; whoever goes on by keyboard goes on from here.
  parts[name].children[had]?.querySelector('.tick').focus();
}

/** Adds what the box holds, due today. */
export async function add() {
  const words = parts.box.value;
  const title = (words.toWellFormed?.() ?? words).trim();
  if (!title) return;
  draft.depart({ id: tasks.drawId(), title, due: dayOf() });
  parts.box.value = '';
  view.showAtBox('');
  show();
  if (await sendWaiting()) view.say(`Added: ${title}`);
}

/** Sends what is on its way; true if all arrived. */
async function sendWaiting() {
  const all = await send({
    arrived(task) {
      writes += 1;
      if (lists && !isIn('today', task.id)) lists.today.tasks.push(asTask(task));
    },
    failed(error) {
      parts.box.value = draft.text();
      const what = trouble(error);
      if (what !== null) view.showAtBox(`Not saved. ${what} Your words are kept here.`);
    },
  });
  if (all) view.showAtBox('');
  show();
  return all;
}

/** As the hub would list it. */
function asTask({ id, title, due }) {
  return { id, title, fields: { due } };
}

/** Ticks a task, or takes the tick away. */
export function tick(id, done) {
  const name = NAMES.find((name) => standing(name).some((task) => task.id === id));
  const task = standing(name).find((task) => task.id === id);
  return ticks.wish({ list: name, task }, done, {
    changed() {
      writes += 1;
      show();
    },
    failed(error, { title }) {
      const what = trouble(error);
      if (what !== null) view.showNotice(`“${brief(title)}” is ${done ? 'still open' : 'still done'}. ${what}`);
    },
  });
}

function brief(title) {
  const letters = [...title];
  return letters.length > 40 ? `${letters.slice(0, 39).join('')}…` : title;
}

/** A list as it stands: the hub's, with what this tab has done in its place. */
function standing(name) {
  const told = (lists?.[name].tasks ?? []).filter((task) => !ticks.has(task.id));
  const coming = name === 'today' ? draft.waiting() : [];
  return [
    ...told.map((task) => ({ ...task, done: name === 'done' })),
    ...ticks.of(name),
    ...coming.map((task) => ({ ...asTask(task), done: false, pending: true })),
  ].sort(tasks.inOrder);
}

/** Puts it all on the page. */
function show() {
  if (parts.day.hidden) return;
  view.showHeading(heading());
  for (const name of NAMES) {
    const all = standing(name);
    fill(parts[name], all, day);
    const counted = name === 'done' ? all : all.filter((task) => !task.done);
    view.showSection(name, all.length, counted.length, Boolean(lists?.[name].more));
  }
  view.showAsOf(asOf ? `As of ${clock(asOf)}` : '');
  showWhetherEmpty();
}

function showWhetherEmpty() {
  const isFree = lists !== null && parts.today.childElementCount === 0;
  const isLate = parts.overdue.childElementCount > 0;
  const text = isLate ? 'What is left from before is below.' : 'Add something above, or leave it so.';
  view.showEmpty(isFree ? 'Nothing is due today.' : '', isFree ? text : '');
}
