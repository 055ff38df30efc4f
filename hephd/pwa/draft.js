// What was typed and is not saved yet: the words in the box, and tasks that
// are on their way. It lies in localStorage until the hub has it, so that a
// crash, a reload or a sign-in between loses nothing.
//
// Everybody who signs in here has their own; only signing out drops it.

import { read, write } from './storage.js';

const NOTHING = { text: '', returned: null, waiting: [] };

let key = null;
let held = NOTHING;

/** Takes up the draft of whoever is signed in. */
export function open(sub) {
  key = sub ? `heph.draft:${sub}` : 'heph.draft';
  held = { ...NOTHING, ...read('localStorage', key) };
}

/** The words in the box. */
export function text() {
  return held.text;
}

/** Other words. */
export function type(words) {
  save({ text: words });
}

/** Tasks on their way, each `{id, title, due, sent}`, the oldest first. */
export function waiting() {
  return held.waiting;
}

/** The words in the box go on their way. If they are those that came back,
 *  they are the same task, under the same id: it may have arrived. */
export function depart({ id, title, due }) {
  const again = held.returned?.title === title;
  const task = { id: again ? held.returned.id : id, title, due, sent: again };
  save({ text: '', returned: null, waiting: [...held.waiting, task] });
  return task;
}

/** From now on it may have arrived, whatever becomes of the answer. */
export function mark(task) {
  task.sent = true;
  save({});
}

/** The hub has it. */
export function arrived({ id }) {
  save({ waiting: held.waiting.filter((task) => task.id !== id) });
}

/** It did not arrive, as far as anybody knows: its words go back into the
 *  box. If that holds other words by now, it stays on its way. */
export function giveBack(task) {
  const isHere = held.waiting.some(({ id }) => id === task.id);
  if (!isHere || held.text.trim()) return;
  arrived(task);
  save({ text: task.title, returned: { id: task.id, title: task.title } });
}

/** What came back had arrived after all: the box need not hold it. */
export function settle(isThere) {
  const { returned, text } = held;
  if (!returned || returned.title !== text.trim() || !isThere(returned.id)) return false;
  save({ text: '', returned: null });
  return true;
}

/** Something here is not saved. */
export function isUnsaved() {
  return Boolean(held.text.trim() || held.waiting.length);
}

/** Leaves nothing behind. */
export function drop() {
  save(NOTHING);
}

function save(change) {
  held = { ...held, ...change };
  write('localStorage', key, isUnsaved() ? held : null);
}
