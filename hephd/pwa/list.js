// Rows of tasks on the page. Whatever a person wrote becomes text and never
// markup: textContent only. A row that stays keeps its element, so that the
// focus, the place and a running animation stay too.

import { since } from './dates.js';
import { due } from './tasks.js';

/** Titles longer than this are cut short until somebody asks for all. */
const LONG = 280;

const template = document.getElementById('row');
const rows = new Map();

/** Shows these tasks in this list, in this order. A task has also
 *  `done`, and `pending` while the hub does not have it. */
export function fill(list, tasks, day) {
  const wanted = new Set(tasks.map((task) => task.id));
  for (const row of [...list.children]) {
    if (!wanted.has(row.dataset.id)) discard(row);
  }
  let place = list.firstElementChild;
  for (const task of tasks) {
    const row = rows.get(task.id) ?? make(task.id);
    show(row, task, day);
    // Moving an element takes the focus from it, so only what must move does.
    if (row === place) place = place.nextElementSibling;
    else list.insertBefore(row, place);
  }
}

/** Forgets every row. */
export function clear() {
  [...rows.values()].forEach(discard);
}

function discard(row) {
  rows.delete(row.dataset.id);
  row.remove();
}

function make(id) {
  const row = template.content.firstElementChild.cloneNode(true);
  const [box, title, meta] = ['.tick', '.title', '.meta'].map((part) => row.querySelector(part));
  row.dataset.id = id;
  title.id = `title-${id}`;
  meta.id = `meta-${id}`;
  box.setAttribute('aria-labelledby', title.id);
  row.querySelector('.whole').addEventListener('click', () => row.classList.add('is-whole'));
  rows.set(id, row);
  return row;
}

function show(row, task, day) {
  const box = row.querySelector('.tick');
  if (box.checked !== task.done) box.checked = task.done;
  box.disabled = Boolean(task.pending);
  row.classList.toggle('is-done', task.done);
  row.classList.toggle('is-pending', Boolean(task.pending));
  row.classList.toggle('is-long', task.title.length > LONG);
  write(row.querySelector('.title'), task.title.trim() ? task.title : 'Without a title');
  const words = about(task, day);
  write(row.querySelector('.meta'), words);
  if (words) box.setAttribute('aria-describedby', `meta-${task.id}`);
  else box.removeAttribute('aria-describedby');
}

/** What else there is to say of a task, in one line. */
function about(task, day) {
  const late = due(task) && due(task) < day ? `Due ${since(due(task), day)}` : '';
  const torn = task.conflicts ? 'Changed in two places' : '';
  const tags = (task.tags ?? []).map((tag) => `#${tag}`).join(' ');
  return [task.pending ? 'Not saved yet' : '', late, torn, tags].filter(Boolean).join(' · ');
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
