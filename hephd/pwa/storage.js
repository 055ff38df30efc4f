// The browser's two stores, as JSON. A store that is full, switched off or
// holds what nobody can read is as good as empty: the page works without.

/** What lies under a key; null for nothing. */
export function read(store, key) {
  try {
    return JSON.parse(window[store].getItem(key));
  } catch {
    return null;
  }
}

/** Puts a value there; null takes it away. */
export function write(store, key, value) {
  try {
    if (value === null) window[store].removeItem(key);
    else window[store].setItem(key, JSON.stringify(value));
  } catch {
    // The page itself still has it.
  }
}
