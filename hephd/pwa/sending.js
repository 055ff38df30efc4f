// Sends the tasks that are on their way, one after the other. What the hub
// does not take goes back into the draft, and so into the box.

import * as draft from './draft.js';
import * as tasks from './tasks.js';

let last = Promise.resolve();

/** True if all arrived. Calls `arrived(task)` and `failed(error)`. */
export function send(hooks) {
  last = last.catch(() => {}).then(() => sendAll(hooks));
  return last;
}

async function sendAll({ arrived, failed }) {
  for (const task of draft.waiting()) {
    const known = { ...task };
    draft.mark(task);
    try {
      await tasks.add(known);
    } catch (error) {
      draft.giveBack(task);
      failed(error);
      return false;
    }
    draft.arrived(task);
    arrived(task);
  }
  return true;
}
