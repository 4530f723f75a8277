"""An authority of another trust domain, made with `openssl`, and its bundle in both forms that `bundle set` takes."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from bench import Bench

DAYS = "7"


@dataclass(frozen=True)
class ForeignBundle:
    trust_domain: str
    pem: Path  # the X.509 authority
    document: Path  # the SPIFFE document: the X.509 authority and a JWT authority

    @property
    def id(self) -> str:
        return f"spiffe://{self.trust_domain}"


def foreign_bundle(bench: Bench, trust_domain: str) -> ForeignBundle:
    home = bench.scratch / trust_domain
    home.mkdir()
    key, jwt_key, pem, document = (home / name for name in ("ca.key", "jwt.key", "bundle.pem", "bundle.json"))
    for made in (key, jwt_key):
        bench.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(made)).ok()
    bench.run(
        "openssl", "req", "-x509", "-new", "-key", str(key), "-sha256", "-days", DAYS, "-out", str(pem),
        "-subj", f"/O={trust_domain}",
        "-addext", "basicConstraints=critical,CA:TRUE",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-addext", f"subjectAltName=URI:spiffe://{trust_domain}",
    ).ok()  # fmt: skip
    body = "".join(line for line in pem.read_text().splitlines() if not line.startswith("-----"))
    keys = [
        {"use": "x509-svid", **public(bench, key), "x5c": [body]},
        {"use": "jwt-svid", **public(bench, jwt_key), "kid": f"jwt.{trust_domain}"},
    ]
    document.write_text(json.dumps({"keys": keys, "spiffe_sequence": 1, "spiffe_refresh_hint": 300}))
    return ForeignBundle(trust_domain, pem, document)


def public(bench: Bench, key: Path) -> dict[str, str]:
    """The public half of a P-256 key, as a JWK has it."""
    pem = bench.run("openssl", "ec", "-in", str(key), "-pubout", "-conv_form", "uncompressed").ok().stdout
    der = base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-----")))
    x, y = der[-64:-32], der[-32:]  # the point is the end of the structure, after a byte that says `uncompressed`
    return {"kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y)}


def encoded(number: bytes) -> str:
    return base64.urlsafe_b64encode(number).rstrip(b"=").decode()
