// Ticks that this tab has made. Each shows at once, is written one after the
// other for its task, and is taken back if the hub does not take it. A tick
// keeps its row where it was, so that it can be unticked there.

import * as tasks from './tasks.js';

/** By the task's id: `{list, task, done, sent, busy}`; `done` is what the
 *  person wants, `sent` what the hub has. */
const ticks = new Map();

export function has(id) {
  return ticks.has(id);
}

/** The tasks of a list that were ticked or unticked here, as wanted. */
export function of(list) {
  const mine = [...ticks.values()].filter((tick) => tick.list === list);
  return mine.map(({ task, done }) => ({ ...task, done }));
}

/** A person wants a task to be done, or not. `task` and `list` say where it is
 *  shown. Calls `changed()` and `failed(error, task, done)`. */
export async function wish({ list, task }, done, { changed, failed }) {
  const tick = ticks.get(task.id) ?? { list, task, sent: list === 'done' };
  ticks.set(task.id, tick);
  tick.done = done;
  changed();
  tick.busy ??= settle(tick, failed).finally(() => {
    tick.busy = null;
  });
  await tick.busy;
  changed();
}

/** The last wish is the last to be written. */
async function settle(tick, failed) {
  while (tick.sent !== tick.done) {
    const { done } = tick;
    try {
      await tasks.tick(tick.task.id, done);
      tick.sent = done;
    } catch (error) {
      tick.done = tick.sent;
      failed(error, tick.task, done);
    }
  }
}

/** The hub has told its lists anew: what they say by themselves, and what
 *  somebody has opened again elsewhere, needs no tick kept. */
export function forgetTold(isOpen) {
  for (const [id, { busy, done }] of ticks) {
    if (!busy && (!done || isOpen(id))) ticks.delete(id);
  }
}

/** Forgets all. */
export function clear() {
  ticks.clear();
}
