// The provider's signing keys, and tokens of any shape signed with them: a hub
// has to refuse the odd ones, and no provider would make them.
import { constants, createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

export class Keys {
  current = newKey();
  previous = null;
  #other = null;

  // Known to the test and never published. Few tests ask, and a key takes time.
  get other() {
    return (this.#other ??= newKey());
  }

  rotate() {
    this.previous = this.current;
    this.current = newKey();
  }

  privateSet() {
    return { keys: [this.current.private] };
  }

  // For headers that bring a key along.
  public() {
    return Object.fromEntries(
      ['current', 'other', 'previous']
        .filter((name) => this[name])
        .map((name) => [name, { jwk: this[name].public, pem: this[name].pem }]),
    );
  }

  // `good` is a token that a hub accepts. What is asked for is laid over it.
  sign(good, asked) {
    const key = asked.key ?? 'current';
    const header = over(good.header, asked.header, asked.drop_header);
    const claims = over(good.claims, asked.claims, asked.drop_claims);
    const text = `${encode(JSON.stringify(header))}.${encode(asked.payload ?? JSON.stringify(claims))}`;
    return `${text}.${this.#signature(key, header?.alg, text)}`;
  }

  #signature(key, alg, text) {
    if (key === 'none') return '';
    // What a verifier falls for that lets the token choose the algorithm.
    if (key === 'hmac-with-public-key') {
      return createHmac(hash(alg, 'HS'), this.current.pem).update(text).digest('base64url');
    }
    const pair = this[key];
    if (!pair?.object) throw new Error(`there is no key ${key}`);
    const padding = /^PS/.test(alg)
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : {};
    return sign(hash(alg, '[RP]S'), Buffer.from(text), { key: pair.object, ...padding }).toString('base64url');
  }
}

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const publicKey = createPublicKey(privateKey);
  const name = { use: 'sig', alg: 'RS256', kid: randomBytes(6).toString('hex') };
  return {
    object: privateKey,
    private: { ...privateKey.export({ format: 'jwk' }), ...name },
    public: { ...publicKey.export({ format: 'jwk' }), ...name },
    pem: publicKey.export({ format: 'pem', type: 'spki' }),
  };
}

// Anything but an object takes the place of the whole.
function over(good, asked = {}, drop = []) {
  if (asked === null || typeof asked !== 'object' || Array.isArray(asked)) return asked;
  return Object.fromEntries(Object.entries({ ...good, ...asked }).filter(([name]) => !drop.includes(name)));
}

// An algorithm that does not exist is still signed with something.
function hash(alg, family) {
  const [, bits] = String(alg).match(new RegExp(`^${family}(256|384|512)$`)) ?? [];
  return `sha${bits ?? 256}`;
}

const encode = (text) => Buffer.from(text).toString('base64url');
