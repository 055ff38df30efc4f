// Tasks as the hub knows them: the open ones up to today, those of today that
// are done; a new one, and a tick. Knows no page.

import { call } from './hub.js';

/** How many of a list are shown until somebody asks for more. */
export const PAGE = 100;

/** The day it is due; empty for none. */
export function due(task) {
  return typeof task.fields.due === 'string' ? task.fields.due : '';
}

/** The hub's own order of tasks by their day. */
export function inOrder(one, other) {
  const key = [due, ({ title }) => title, ({ id }) => id].find((key) => key(one) !== key(other));
  return key ? (key(one) < key(other) ? -1 : 1) : 0;
}

/** The three lists of a day, each `{tasks, more}`: at most `most[list]` long. */
export async function load(day, most) {
  // The list goes along the hub's index by due day, and a cursor is a place in
  // it: "-" comes before every id, so this one is just before the day's first.
  // Ten thousand overdue tasks are never read to find today's.
  const dawn = (done) => ({ done, due: day, title: '', id: '-' });
  const isToday = (task) => due(task) === day;
  const [today, overdue, done] = await Promise.all([
    collect({ done: false, after: dawn(false) }, isToday, most.today),
    collect({ done: false }, (task) => due(task) && due(task) < day, most.overdue),
    collect({ done: true, after: dawn(true) }, isToday, most.done),
  ]);
  return { today, overdue, done };
}

async function collect({ done, after }, belongs, most) {
  const tasks = [];
  for (;;) {
    // One more than is shown tells whether others follow.
    const limit = most + 1 - tasks.length;
    const page = await call('node.list', { kind: 'task', order: 'due', done, after, limit });
    for (const task of page.nodes) {
      if (!belongs(task)) return { tasks, more: false };
      if (tasks.length === most) return { tasks, more: true };
      tasks.push(task);
    }
    if (!page.more || !page.cursor) return { tasks, more: false };
    after = page.cursor;
  }
}

/** An id as heph draws them. The browser draws it, so that a task whose answer
 *  got lost can be sent again and is still one task. */
export function drawId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Adds a task, as `heph task add --due` does. Where it was sent before and may
 *  have arrived, it is looked for first: it could be ticked or renamed by now. */
export async function add({ id, title, due, sent }) {
  if (sent && (await call('node.get', { id }))) return;
  const set = { kind: 'task', title, done: false, due };
  await call('node.write', { changes: [{ node: { id, set } }] });
}

/** Ticks a task, or takes the tick away. */
export async function tick(id, done) {
  await call('node.write', { changes: [{ node: { id, set: { done } } }] });
}
