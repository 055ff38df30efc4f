// The page around the lists: which of its rooms is shown, what is said, who
// is signed in. Sets text and switches things on and off; decides nothing.

const $ = (id) => document.getElementById(id);

/** The parts that others listen to. */
export const parts = {
  signIn: $('sign-in'),
  signOut: $('sign-out'),
  again: $('again'),
  form: $('add'),
  box: $('box'),
  day: $('day'),
  today: $('today'),
  overdue: $('overdue'),
  done: $('done'),
};

/** The door: a title, a line that says why, and what can be done about it:
 *  "sign-in", "again" or nothing. */
export function showGate({ title, why = '', can, where = '' }) {
  const wasInside = !parts.day.hidden;
  $('gate-title').textContent = title;
  $('gate-why').textContent = why;
  $('gate-where').textContent = where && `Your hub asks ${where} who you are.`;
  parts.signIn.hidden = can !== 'sign-in';
  $('gate-again').hidden = can !== 'again';
  enter('gate');
  showWaiting(false);
  showWho(null);
  say([title, why].filter(Boolean).join('. '));
  if (wasInside) $('gate-title').focus();
}

/** The day. */
export function showDay(name) {
  enter('day');
  showWho(name);
}

function enter(room) {
  document.body.dataset.room = room;
  $('gate').hidden = room !== 'gate';
  parts.day.hidden = room !== 'day';
}

function showWho(name) {
  $('who').hidden = !name;
  $('name').textContent = name ?? '';
}

/** Waits for the provider's page. */
export function leaving(isLeaving) {
  parts.signIn.disabled = isLeaving;
}

/** The day's name, and what it holds. */
export function showHeading({ weekday, date }) {
  $('weekday').textContent = weekday;
  $('date').textContent = date;
}

/** A section of the day: how many rows it has, and how many it says. */
export function showSection(name, rows, count, more) {
  $(`${name}-section`).hidden = rows === 0;
  $(`${name}-count`).textContent = more ? `${count}+` : String(count);
  $(`${name}-more`).hidden = !more;
}

/** Nothing has been heard from the hub yet. */
export function showWaiting(isWaiting) {
  $('waiting').hidden = !isWaiting;
}

/** What there is instead of tasks; nothing while there are some. */
export function showEmpty(title, text = '') {
  $('empty').hidden = !title;
  $('empty-title').textContent = title;
  $('empty-text').textContent = text;
}

/** A line above the day, with a button to try again; none for no text. */
export function showNotice(text) {
  $('notice').hidden = !text;
  $('notice-text').textContent = text;
  if (text) say(text);
}

/** A line below the box. */
export function showAtBox(text) {
  $('at-box').textContent = text;
  if (text) say(text);
}

/** For those who listen rather than look. What is hidden and then shown is
 *  not read out by every screen reader, so all goes through this one line. */
export function say(text) {
  // Some read the same words again when they are set again.
  if ($('said').textContent !== text) $('said').textContent = text;
}

/** When the lists are from. */
export function showAsOf(text) {
  $('as-of').textContent = text;
}

/** Whether to drop what is not saved. */
export function askToDrop() {
  const dialog = $('drop');
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'drop'), { once: true });
  });
}
