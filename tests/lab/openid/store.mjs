// What the provider remembers, in memory. It outlives a Provider, so that new
// keys do not sign anybody out. Nothing expires from it: the provider compares
// the times itself, and then says `expired_token` rather than "never heard of it".

// What a person's consent has led to. Without these, nothing can be refreshed.
const granted = ['Grant', 'RefreshToken', 'AuthorizationCode'];

export class Store {
  #leeway;
  #entries = new Map();

  // leeway: for how many seconds a used refresh token is taken once more.
  constructor(leeway) {
    this.#leeway = leeway * 1000;
  }

  // The adapter that oidc-provider asks for each kind of thing.
  adapter = (kind) => {
    const key = (id) => `${kind}:${id}`;
    const find = async (id) => this.#read(kind, this.#entries.get(key(id)));
    const findBy = async (member, value) => {
      const match = this.#all(kind).find(([, entry]) => entry.payload[member] === value);
      return match && this.#read(kind, match[1]);
    };
    return {
      find,
      findByUid: (uid) => findBy('uid', uid),
      findByUserCode: (code) => findBy('userCode', code),
      upsert: async (id, payload) => {
        this.#entries.set(key(id), { ...this.#entries.get(key(id)), payload: structuredClone(payload) });
      },
      // The first use counts, or each use within the leeway would extend it.
      consume: async (id) => {
        this.#entries.get(key(id)).consumedAt ??= Date.now();
      },
      destroy: async (id) => {
        this.#entries.delete(key(id));
      },
      revokeByGrantId: async (grant) => {
        this.#forget(this.#all(kind).filter(([, entry]) => entry.payload.grantId === grant));
      },
    };
  };

  revokeAll() {
    this.#forget(granted.flatMap((kind) => this.#all(kind)));
  }

  #all(kind) {
    return [...this.#entries].filter(([key]) => key.startsWith(`${kind}:`));
  }

  #forget(entries) {
    for (const [key] of entries) this.#entries.delete(key);
  }

  #read(kind, entry) {
    if (!entry) return undefined;
    const payload = structuredClone(entry.payload);
    if (entry.consumedAt && !this.#isLenient(kind, entry)) {
      payload.consumed = Math.floor(entry.consumedAt / 1000);
    }
    return payload;
  }

  #isLenient(kind, entry) {
    return kind === 'RefreshToken' && Date.now() - entry.consumedAt < this.#leeway;
  }
}
