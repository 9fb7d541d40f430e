// panva's oidc-provider as a strict authorization server: one replayed refresh token kills the whole grant.
//
// node oidc_provider.mjs PORT CACHE      CACHE is the folder that tests/interop/install filled
//
//   ACCESS_TOKEN_SECONDS    life of an access token (default 3)
//   REFRESH_TOKEN_SECONDS   life of a refresh token (default 3600)
//   ROTATE=0                keep the refresh token at a refresh
//   DPOP_NONCE=1            demand a server nonce in DPoP proofs
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [port, cache] = process.argv.slice(2);
const { ACCESS_TOKEN_SECONDS = 3, REFRESH_TOKEN_SECONDS = 3600, ROTATE = '1', DPOP_NONCE } = process.env;
const entry = join(cache, 'oidc-provider', 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { Provider } = await import(pathToFileURL(entry));

// The key of the client "signed": made here, read by the tests that sign assertions, never committed.
const keyFile = join(cache, 'client-key.pem');
if (!existsSync(keyFile)) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
}
const publicKey = createPublicKey(readFileSync(keyFile)).export({ format: 'jwk' });

const userGrants = ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'];
const client = (client_id, token_endpoint_auth_method, more = {}) => ({
  client_id,
  token_endpoint_auth_method,
  ...(token_endpoint_auth_method.startsWith('client_secret') && { client_secret: 'interop-secret' }),
  redirect_uris: ['http://127.0.0.1:9/cb'],
  response_types: ['code'],
  grant_types: token_endpoint_auth_method === 'none' ? userGrants : [...userGrants, 'client_credentials'],
  ...more,
});

const accessSeconds = Number(ACCESS_TOKEN_SECONDS);
const day = 86400;
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client('basic', 'client_secret_basic'),
    client('post', 'client_secret_post'),
    client('public', 'none'),
    client('native', 'none', { application_type: 'native', redirect_uris: ['http://127.0.0.1/cb'] }),
    client('signed', 'private_key_jwt', {
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [{ ...publicKey, alg: 'ES256', use: 'sig', kid: 'interop' }] },
    }),
    client('dpop', 'client_secret_basic', { dpop_bound_access_tokens: true }),
  ],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  scopes: ['openid', 'offline_access', 'read'],
  rotateRefreshToken: ROTATE === '1',
  clockTolerance: 0, // the default, 15 s, would keep every token alive 15 s past its expires_in
  pkce: { required: () => true },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  cookies: { keys: ['interop'] },
  ttl: {
    AccessToken: accessSeconds,
    ClientCredentials: accessSeconds,
    RefreshToken: Number(REFRESH_TOKEN_SECONDS),
    AuthorizationCode: 60,
    DeviceCode: 600,
    IdToken: 60,
    Interaction: 600,
    Grant: day,
    Session: day,
  },
  features: {
    devInteractions: { enabled: true }, // its login and consent pages, driven by headless.py
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    dPoP: { enabled: true, ...(DPOP_NONCE && { nonceSecret: Buffer.alloc(32, 'interop'), requireNonce: () => true }) },
  },
});
provider.on('server_error', (_, error) => console.error(error));
createServer(provider.callback()).listen(Number(port), '127.0.0.1');
