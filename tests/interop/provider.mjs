// An OpenID provider that nobody here wrote (oidc-provider, certified), on a port of the loopback; the tests turn its keys
// at /test/keys. `node provider.mjs DIRECTORY`, where DIRECTORY holds node_modules; the first line it prints is its issuer.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.argv[2]}/`);
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const ACCOUNTS = {
  ann: { email: "ann@example.com", email_verified: true, preferred_username: "ann", given_name: "Ann", family_name: "Lee" },
  bob: { preferred_username: "bob" }, // without an address
};
const CLIENTS = [
  {
    client_id: "application",
    client_secret: "application-secret",
    redirect_uris: ["https://app.example.com/callback"],
    grant_types: ["authorization_code"],
    scope: "openid email profile orders.read",
  },
  {
    client_id: "machine",
    client_secret: "machine-secret",
    redirect_uris: [],
    response_types: [],
    grant_types: ["client_credentials"],
    scope: "orders.read orders.write",
  },
  // Asks about tokens and gets none. Characters that Basic credentials have to escape are in its secret.
  { client_id: "port cullis", client_secret: "s3cret:/with+odd%characters", redirect_uris: [], response_types: [], grant_types: [] },
];

let serial = 0;
const pair = () => {
  serial += 1;
  const made = (kind, options, alg) => ({
    ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }), kid: `${alg}-${serial}`, alg, use: "sig",
  });
  return [made("ec", { namedCurve: "P-256" }, "ES256"), made("rsa", { modulusLength: 2048 }, "RS256")];
};

// Pairs of keys; the first signs. A key set is fixed when a provider is made, what it has issued is kept beside it.
let pairs = [pair()];
const TURNS = {
  publish: () => [...pairs, pair()],
  sign: () => [pairs.at(-1), ...pairs.slice(0, -1)],
  withdraw: () => pairs.slice(0, 1),
};

const make = (issuer) => new Provider(issuer, {
  clients: CLIENTS,
  cookies: { keys: ["cookie-key-of-the-tests"] },
  jwks: { keys: pairs.flat() },
  scopes: ["openid", "email", "profile", "orders.read", "orders.write"],
  claims: {
    openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username", "given_name", "family_name"],
  },
  findAccount: (_, id) => (ACCOUNTS[id] ? { accountId: id, claims: () => ({ sub: id, ...ACCOUNTS[id] }) } : undefined),
  // What the resource servers of the tests read of an access token.
  extraTokenClaims: (_, token) => ({ roles: token.kind === "AccessToken" ? ["user"] : ["robot"] }),
  ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 600, Session: 600, Interaction: 600 },
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    userinfo: { enabled: true },
    // `urn:api:ES256` and `urn:api:RS256` are resources whose access tokens are JWTs; without a resource they are opaque.
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        audience: "microservices-api",
        scope: "orders.read orders.write",
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: resource.split(":").at(-1) } },
      }),
    },
  },
});

let answer;
const server = createServer((request, response) => {
  const turn = request.method === "POST" && /^\/test\/keys\/(\w+)$/.exec(request.url);
  if (!turn) {
    answer(request, response);
    return;
  }
  pairs = TURNS[turn[1]]();
  answer = make(issuer).callback();
  response.end(JSON.stringify(pairs.map(([key]) => key.kid)));
});
await new Promise((ready) => { server.listen(0, "127.0.0.1", ready); });
const issuer = `http://127.0.0.1:${server.address().port}`;
answer = make(issuer).callback();
console.log(issuer);
