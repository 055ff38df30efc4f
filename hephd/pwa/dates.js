// Days as people say them. A day is `YYYY-MM-DD`, by this device's calendar:
// today is where the person is, not where the hub is.

const LANGUAGE = 'en-GB';
const DAY_MS = 86_400_000;

/** The day of a moment. */
export function dayOf(date = new Date()) {
  const pad = (number, length) => String(number).padStart(length, '0');
  return `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1, 2)}-${pad(date.getDate(), 2)}`;
}

/** "Friday" and "27 November". */
export function heading(date = new Date()) {
  const say = (options) => date.toLocaleDateString(LANGUAGE, options);
  return { weekday: say({ weekday: 'long' }), date: say({ day: 'numeric', month: 'long' }) };
}

/** "14:02". */
export function clock(date = new Date()) {
  return date.toLocaleTimeString(LANGUAGE, { hour: '2-digit', minute: '2-digit' });
}

/** A day before today: "yesterday", "last Monday", "Mon 3 Nov", "3 Nov 2025". */
export function since(day, today) {
  const [then, now] = [Date.parse(day), Date.parse(today)];
  if (Number.isNaN(then)) return day;
  const days = Math.round((now - then) / DAY_MS);
  const say = (options) => new Date(then).toLocaleDateString(LANGUAGE, { timeZone: 'UTC', ...options });
  if (days === 1) return 'yesterday';
  if (days < 7) return `last ${say({ weekday: 'long' })}`;
  const year = day.slice(0, 4) === today.slice(0, 4) ? {} : { year: 'numeric' };
  return say({ day: 'numeric', month: 'short', ...(year.year ? year : { weekday: 'short' }) });
}
