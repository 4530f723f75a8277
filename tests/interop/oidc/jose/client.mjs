#!/usr/bin/env node
// Verifies the tokens that it is given, one a line, as jose's users do: by the keys that an OpenID provider names.
//
// Usage: client.mjs ISSUER AUDIENCE; NODE_EXTRA_CA_CERTS names whom it believes.
import { createInterface } from 'node:readline';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const [issuer, audience] = process.argv.slice(2);
const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
if (metadata.issuer !== issuer) throw new Error(`the provider calls itself ${metadata.issuer}`);
const algorithms = metadata.id_token_signing_alg_values_supported;
// By default it looks for a key that it does not know only 30 seconds after it has looked before. A next key is published
// long before it signs; here it signs at once.
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), { cooldownDuration: 0 });

for await (const token of createInterface({ input: process.stdin })) {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, algorithms });
    console.log(`valid ${payload.sub}`);
  } catch (error) {
    console.log(`refused ${error.code}: ${error.message}`);
  }
}
