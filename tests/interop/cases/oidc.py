"""The face of an OpenID provider, before the libraries that others verify tokens with: PyJWT, jose and go-oidc."""

from __future__ import annotations

from pathlib import Path

from bench import PATIENCE, TRUST_DOMAIN, Bench, Client, expect, expect_equal
from cases.authorities import order, state
from cases.case import Case
from gateway import Gateway, free_port
from webca import WebServer, web_server

PYJWT = str(Path(__file__).resolve().parent.parent / "oidc" / "pyjwt" / "client.py")
# The program of each library and what goes before its arguments.
LIBRARIES: dict[str, tuple[str, ...]] = {"pyjwt": (PYJWT,), "jose": (), "go-oidc": ()}
SUBJECT = f"spiffe://{TRUST_DOMAIN}/batch"
AUDIENCE = "cloud"


def verifies(library: str):
    def check(bench: Bench) -> None:
        """By discovery alone, through two changes of the key, and no longer by one that was revoked."""
        web, stranger = (web_server(bench, bench.scratch / library / name) for name in ("web", "stranger"))
        gateway, port = Gateway(bench.tools["portcullis"]), free_port()
        issuer = f"https://localhost:{port}/eu"
        settings = {
            "PORTCULLIS_LISTEN__OIDC": f"tls:127.0.0.1:{port}",
            "PORTCULLIS_OIDC__ISSUERS": issuer,
            "PORTCULLIS_OIDC__TLS__CERTIFICATE_FILE": str(web.certificate),
            "PORTCULLIS_OIDC__TLS__KEY_FILE": str(web.key),
            "PORTCULLIS_IDENTITY__JWT_ISSUER": issuer,
        }
        try:
            gateway.start(settings)
            ours = bench.at(gateway.workload, gateway.admin)
            with client(bench, library, issuer, web) as verifier:
                through_keys(ours, verifier)
            with client(bench, library, issuer, stranger) as verifier:
                expect(verifier.process.wait(PATIENCE) != 0, "a server whose certificate another authority signed")
        finally:
            gateway.stop()

    return check


def client(bench: Bench, library: str, issuer: str, web: WebServer):
    """The library, which believes the authority of this server."""
    words = [*LIBRARIES[library], issuer, AUDIENCE, str(web.authority)]
    return bench.running(library, *words, environment={"NODE_EXTRA_CA_CERTS": str(web.authority)}, is_asked=True)


def through_keys(ours: Bench, verifier: Client) -> None:
    first = minted(ours)
    accepted(verifier, first)
    refused(verifier, minted(ours, "elsewhere"), "a token for another audience")
    header, claims, signature = first.split(".")
    refused(verifier, f"{header}.{claims}.{signature[:-8]}AAAAAAAA", "a token with another signature")
    old = state(ours, "jwt")["active"]

    replace(ours)
    second = minted(ours)
    expect(second.split(".")[0] != header, "the new key has a name of its own")
    accepted(verifier, second)
    accepted(verifier, first)  # until it expires

    order(ours, "jwt", "taint", old).ok()
    order(ours, "jwt", "revoke", old).ok()
    replace(ours)
    # A library asks again when it meets a key that it does not know, at the latest: then the revoked one is gone.
    accepted(verifier, minted(ours))
    refused(verifier, first, "a token of a revoked authority")
    accepted(verifier, second)


def replace(ours: Bench) -> None:
    order(ours, "jwt", "prepare").ok()
    order(ours, "jwt", "activate", state(ours, "jwt")["prepared"]).ok()


def minted(ours: Bench, audience: str = AUDIENCE) -> str:
    return ours.server("jwt mint", "-spiffeID", SUBJECT, "-audience", audience).ok().stdout.strip()


def accepted(verifier: Client, token: str) -> None:
    expect_equal(verifier.ask(token), f"valid {SUBJECT}", "the answer to a good token")


def refused(verifier: Client, token: str, what: str) -> None:
    answer = verifier.ask(token)
    expect(answer.startswith("refused "), f"{what}: {answer}")


CASES = tuple(
    Case("verifies our tokens by discovery, through three keys", library, verifies(library), needs=("openssl", "portcullis"))
    for library in LIBRARIES
)
