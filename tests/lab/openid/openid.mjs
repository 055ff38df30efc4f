// The provider proper: oidc-provider with one public client, as a person would
// register it for a hub, its devices and its browser page.
import { load } from './packages.mjs';

// Its advice is for those who serve the world, and stdout is for our own line.
console.info = () => {};
console.warn = () => {};
const { Provider, errors } = await load('oidc-provider');

// An access token is for a resource, and a resource has a URI.
const resource = 'urn:heph';
const scopes = ['openid', 'offline_access', 'email', 'profile'];
const day = 24 * 60 * 60;

export function newProvider({ issuer, options, keys, store, pace, patch }) {
  const provider = new Provider(issuer, configuration(options, keys, store));
  allowRedirects(provider, options.redirects);
  provider.use(patch);
  provider.use(withoutFonts);
  provider.use(pace);
  provider.on('server_error', (_ctx, error) => console.error(error));
  return provider;
}

function configuration(options, keys, store) {
  return {
    adapter: store.adapter,
    jwks: keys.privateSet(),
    cookies: { keys: ['lab'] },
    clients: [
      {
        client_id: options.client,
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1/', ...options.redirects],
        response_types: ['code'],
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      },
    ],
    clientBasedCORS: () => true,
    pkce: { required: () => true },
    responseTypes: ['code'],
    scopes,
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    // The ID token carries them too: the access token cannot ask userinfo.
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => person(id) }),
    rotateRefreshToken: options.rotation,
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, _client, oneOf) => oneOf ?? resource,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, asked) => {
          if (asked !== resource) throw new errors.InvalidTarget();
          return {
            audience: options.audience,
            // So that an answer names the scopes which were asked for.
            scope: scopes.join(' '),
            accessTokenFormat: 'jwt',
            accessTokenTTL: options.accessSecs,
            jwt: { sign: { alg: 'RS256' } },
          };
        },
      },
    },
    ttl: {
      AuthorizationCode: 60,
      DeviceCode: options.deviceSecs,
      Grant: 30 * day,
      IdToken: options.accessSecs,
      Interaction: 600,
      RefreshToken: options.refreshSecs,
      Session: day,
    },
  };
}

// Anybody who types a name is that person.
function person(id) {
  return { sub: id, name: id, email: `${id}@example.test`, email_verified: true };
}

// RFC 8252, 7.3: on loopback any port is right. The library knows that for
// native clients only, and those may not have https://localhost, as ours may.
function allowRedirects(provider, redirects) {
  provider.Client.prototype.redirectUriAllowed = (uri) =>
    redirects.includes(uri) || /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?\/(callback)?$/.test(uri);
}

// The pages name a font on the network, for which a browser would wait.
async function withoutFonts(ctx, next) {
  await next();
  if (typeof ctx.body === 'string') ctx.body = ctx.body.replace(/@import url\([^)]*\);/g, '');
}
