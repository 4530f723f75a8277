"""The three libraries: go-spiffe, py-spiffe, rust-spiffe. Their programs are under go/, python/ and rust/."""

from __future__ import annotations

from pathlib import Path

from bench import TRUST_DOMAIN, Bench, expect_in
from cases.case import Case
from foreign import foreign_bundle

PYTHON = str(Path(__file__).resolve().parent.parent / "python" / "client.py")
# The program of each library and what goes before the scenario's name.
LIBRARIES: dict[str, tuple[str, ...]] = {"go-spiffe": (), "py-spiffe": (PYTHON,), "rust-spiffe": ()}


def rotation(library: str):
    def check(bench: Bench) -> None:
        with bench.entry(f"{library}/rotates", library) as spiffe_id:
            with bench.running(library, *LIBRARIES[library], "rotate") as client:
                client.expect(f"svid {spiffe_id}")
                client.expect(f"rotated {spiffe_id}")
                client.finish()

    return check


def tokens(library: str):
    def check(bench: Bench) -> None:
        with bench.entry(f"{library}/tokens", library) as spiffe_id:
            said = bench.run(library, *LIBRARIES[library], "jwt").ok().stdout
            expect_in(f"valid {spiffe_id}\n", said, "the token")
            expect_in("refused another audience\n", said, "the token")

    return check


def denied(library: str):
    def check(bench: Bench) -> None:
        expect_in("denied\n", bench.run(library, *LIBRARIES[library], "denied").ok().stdout, "a client without an entry")

    return check


def mutual_tls(bench: Bench) -> None:
    """Two processes with an identity each meet; a third identity is refused by either side."""
    alice, bob = bench.twin("go-spiffe", "alice"), bench.twin("go-spiffe", "bob")
    with bench.entry("alice", alice) as alice_id, bench.entry("bob", bob) as bob_id:
        with bench.running(alice, "serve", bob_id) as server:
            address = server.expect("listening").split()[-1]
            said = bench.run(bob, "dial", address, alice_id).ok().stdout
            expect_in(f"server {alice_id}\nhello {bob_id}\n", said, "bob's call")
            server.expect(f"client {bob_id}")
            bench.run(bob, "dial", address, f"spiffe://{TRUST_DOMAIN}/mallory").refused("unexpected ID")
            server.expect("refused")
            # Alice is not bob, so her own server refuses her.
            bench.run(alice, "dial", address, alice_id).refused("bad certificate")
            server.expect("refused")


def bundles(bench: Bench) -> None:
    foreign = "library.example"
    document = foreign_bundle(bench, foreign).document
    bench.server("bundle set", "-id", f"spiffe://{foreign}", "-path", str(document), "-format", "spiffe").ok()
    try:
        with bench.entry("bundles", "go-spiffe", "-federatesWith", f"spiffe://{foreign}"):
            said = bench.run("go-spiffe", "bundles", TRUST_DOMAIN, foreign).ok().stdout
            for domain in (TRUST_DOMAIN, foreign):
                expect_in(f"bundle {domain} x509=1 jwt=1\n", said, "the bundles")
    finally:
        bench.server("bundle delete", "-id", f"spiffe://{foreign}", "-mode", "dissociate").ok()


def recovery(bench: Bench) -> None:
    """A watcher that was denied gets its identity when the entry is made, and is denied again when it goes."""
    denial = "error PermissionDenied: no identity issued"
    with bench.running("go-spiffe", "watch") as watcher:
        watcher.expect(denial)
        with bench.entry("recovers", "go-spiffe") as spiffe_id:
            watcher.expect(f"update {spiffe_id}")
        watcher.expect(denial)


CASES = (
    Case("a JWT source: fetch, validate here and there", "go-spiffe", tokens("go-spiffe")),
    Case("an X.509 source sees its certificate renewed", "go-spiffe", rotation("go-spiffe")),
    Case("mTLS between two processes, and its refusals", "go-spiffe", mutual_tls),
    Case("bundles of our own and a foreign trust domain", "go-spiffe", bundles, needs=("openssl",)),
    Case("a watcher recovers from PermissionDenied", "go-spiffe", recovery),
    *(
        case
        for library in ("py-spiffe", "rust-spiffe")
        for case in (
            Case("a JWT source: fetch, validate here and there", library, tokens(library)),
            Case("an X.509 source sees its certificate renewed", library, rotation(library)),
            Case("without an entry every call says so", library, denied(library)),
        )
    ),
)
