"""Verifies the tokens that it is given, one a line, as PyJWT's users do: by the keys that an OpenID provider names.

Usage: client.py ISSUER AUDIENCE AUTHORITIES
"""

import json
import ssl
import sys
import urllib.request

import jwt

CLAIMS = ["aud", "exp", "iat", "iss", "sub"]


def main(issuer: str, audience: str, authorities: str) -> None:
    context = ssl.create_default_context(cafile=authorities)
    with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", context=context) as answer:
        metadata = json.load(answer)
    if metadata["issuer"] != issuer:
        sys.exit(f"the provider calls itself {metadata['issuer']}")
    algorithms = metadata["id_token_signing_alg_values_supported"]
    # By default it looks for a key that it does not know only 30 seconds after it has looked before. A next key is published
    # long before it signs; here it signs at once.
    keys = jwt.PyJWKClient(metadata["jwks_uri"], ssl_context=context, cooldown_duration=0)
    for line in sys.stdin:
        token = line.strip()
        try:
            key = keys.get_signing_key_from_jwt(token)
            wanted = {"algorithms": algorithms, "audience": audience, "issuer": issuer, "options": {"require": CLAIMS}}
            print("valid", jwt.decode(token, key, **wanted)["sub"], flush=True)
        except jwt.PyJWTError as error:
            print(f"refused {type(error).__name__}: {error}".replace("\n", " "), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
