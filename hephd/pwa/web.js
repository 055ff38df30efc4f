// One request and its answer, with a deadline. Knows neither the hub nor the
// login provider; tells "nobody answered" (Unreachable) from every answer.

const DEADLINE_MS = 10_000;

/** Nobody answered, or what answered is not who was asked. */
export class Unreachable extends Error {
  /** @param whose "hub" or "provider" */
  constructor(whose, why) {
    super(why);
    this.whose = whose;
  }
}

/** The answer: its status, and its body where that is JSON (else null). */
export async function ask(whose, url, { deadline = DEADLINE_MS, ...options } = {}) {
  try {
    const response = await fetch(url, {
      cache: 'no-store',
      signal: AbortSignal.timeout(deadline),
      ...options,
    });
    return { status: response.status, body: read(await response.text()) };
  } catch (error) {
    // A browser tells no more than this, on purpose: refused, no route, a bad
    // certificate and a missing CORS header all look alike to a page.
    throw new Unreachable(whose, error.name);
  }
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
