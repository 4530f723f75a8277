"""Bundle endpoints: ours as go-spiffe's client sees it, and those of peers that are broken or mean harm."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import TRUST_DOMAIN, Bench, Output, expect, expect_equal, expect_in, until
from cases.authorities import order, state
from cases.case import Case
from evil import Behaviour, Endpoint, document, dripping, endless, endpoint, raw, redirecting, silent
from foreign import ForeignBundle, foreign_bundle
from gateway import Gateway, free_port
from webca import WebServer, web_server

ENDPOINT_ID = f"spiffe://{TRUST_DOMAIN}/bundle"
ROTATIONS = 3


@contextmanager
def gateway_with_endpoints(bench: Bench, web: WebServer, more: dict[str, str]) -> Iterator[tuple[Bench, str, str]]:
    """A gateway with both bundle endpoints: a bench at it, and the two URLs."""
    gateway = Gateway(bench.tools["portcullis"])
    web_port, spiffe_port = free_port(), free_port()
    settings = endpoint_settings(web, web_port, spiffe_port) | more
    try:
        gateway.start(settings)
        urls = (f"https://localhost:{port}/" for port in (web_port, spiffe_port))
        yield bench.at(gateway.workload, gateway.admin), *urls
        expect(gateway.alive(), "the gateway lives")
    finally:
        gateway.stop()


def endpoint_settings(web: WebServer, web_port: int, spiffe_port: int) -> dict[str, str]:
    return {
        "PORTCULLIS_LISTEN__BUNDLE_WEB": f"tls:127.0.0.1:{web_port}",
        "PORTCULLIS_LISTEN__BUNDLE_SPIFFE": f"tls:127.0.0.1:{spiffe_port}",
        "PORTCULLIS_FEDERATION__WEB_AUTHORITIES": str(web.authority),
        "PORTCULLIS_FEDERATION__ENDPOINT__WEB__CERTIFICATE_FILE": str(web.certificate),
        "PORTCULLIS_FEDERATION__ENDPOINT__WEB__KEY_FILE": str(web.key),
        "PORTCULLIS_FEDERATION__ENDPOINT__SPIFFE_ID": ENDPOINT_ID,
        "PORTCULLIS_FEDERATION__ENDPOINT__REFRESH_HINT": "1s",
        # Peers hint at minutes.
        "PORTCULLIS_FEDERATION__SHORTEST_INTERVAL": "1s",
        "PORTCULLIS_FEDERATION__LONGEST_INTERVAL": "1s",
    }


def followed(bench: Bench) -> None:
    """go-spiffe's client follows our endpoint, by either profile, through three changes of our authority."""
    web = web_server(bench, bench.scratch / "followed")
    with gateway_with_endpoints(bench, web, {}) as (ours, web_url, spiffe_url):
        first = bench.scratch / "followed" / "first.json"
        first.write_text(ours.server("bundle show", "-format", "spiffe").ok().stdout)
        by_web = [TRUST_DOMAIN, web_url, str(web.authority)]
        by_svid = [TRUST_DOMAIN, spiffe_url, str(first), ENDPOINT_ID]
        authority = state(ours, "x509")["active"]
        fetched = bench.run("go-spiffe", "fetch", *by_web).ok().stdout
        expect_in(f" hint=1s x509={authority} jwt=1\n", fetched, "the bundle by a certificate of the Web")
        expect_equal(bench.run("go-spiffe", "fetch", *by_svid).ok().stdout, fetched, "the bundle by an SVID")
        # Each profile is refused what the other one shows.
        bench.run("go-spiffe", "fetch", TRUST_DOMAIN, spiffe_url, str(web.authority)).refused("certificate")
        bench.run("go-spiffe", "fetch", TRUST_DOMAIN, web_url, *by_svid[2:]).refused("could not GET bundle")
        bench.run("go-spiffe", "fetch", *by_svid[:3], f"spiffe://{TRUST_DOMAIN}/other").refused("unexpected ID")
        with bench.running("go-spiffe", "follow", *by_web) as one, bench.running("go-spiffe", "follow", *by_svid) as other:
            old = authority
            for _ in range(ROTATIONS):
                order(ours, "x509", "prepare").ok()
                prepared = state(ours, "x509")["prepared"]
                for client in (one, other):
                    until("go-spiffe knows the next authority", lambda: prepared in client.latest("bundle"))
                order(ours, "x509", "activate", prepared).ok()
                order(ours, "x509", "taint", old).ok()
                order(ours, "x509", "revoke", old).ok()
                for client in (one, other):
                    until("go-spiffe has lost the old authority", lambda: f" x509={prepared} " in client.latest("bundle"))
                old = prepared
            for client in (one, other):
                counted = [int(line.split("sequence=")[1].split()[0]) for line in client.seen if line.startswith("bundle ")]
                expect(len(counted) > ROTATIONS, f"go-spiffe saw {len(counted)} bundles")
                expect_equal(counted, sorted(set(counted)), "the sequences, each above the one before")


def mapped(bench: Bench) -> None:
    """gRPC's own reader of bundle maps follows the file that has all bundles."""
    home = bench.scratch / "mapped"
    home.mkdir()
    file, gateway = home / "bundles.json", Gateway(bench.tools["portcullis"])
    try:
        gateway.start({"PORTCULLIS_FEDERATION__BUNDLE_MAP_FILE": str(file)})
        ours = bench.at(gateway.workload, gateway.admin)
        foreign = foreign_bundle(bench, "mapped.example")
        first = state(ours, "x509")["active"]
        with bench.running("go-spiffe", "grpc-map", str(file)) as grpc:
            until("gRPC knows our authority", lambda: grpc.latest("map") == f"{TRUST_DOMAIN}={first}")
            ours.server("bundle set", "-id", foreign.id, "-path", str(foreign.document), "-format", "spiffe").ok()
            until("gRPC knows another domain", lambda: f"{foreign.trust_domain}=" in grpc.latest("map"))
            order(ours, "x509", "prepare").ok()
            prepared = state(ours, "x509")["prepared"]
            until("gRPC knows our next authority", lambda: prepared in grpc.latest("map"))
            ours.server("bundle delete", "-id", foreign.id).ok()
            until("gRPC has lost the domain", lambda: foreign.trust_domain not in grpc.latest("map"))
        expect(gateway.alive(), "the gateway lives")
    finally:
        gateway.stop()


class Peer:
    """A relationship of `ours` with an endpoint that does as it is told."""

    def __init__(self, ours: Bench, server: Endpoint, bundle: ForeignBundle) -> None:
        self.ours = ours
        self.server = server
        self.bundle = bundle
        self.contents: dict[str, Any] = json.loads(bundle.document.read_text())
        server.behaviour = document(self.contents)
        ours.run(
            "portcullis", "federation", "create", "-socketPath", str(ours.admin), "-trustDomain", bundle.trust_domain,
            "-bundleEndpointURL", server.url, "-bundleEndpointProfile", "https_web",
        ).ok()  # fmt: skip

    def move(self, url: str) -> None:
        words = ["-trustDomain", self.bundle.trust_domain, "-bundleEndpointURL", url, "-bundleEndpointProfile", "https_web"]
        self.ours.server("federation update", *words).ok()

    def numbered(self, sequence: int, **members: Any) -> dict[str, Any]:
        return {**self.contents, "spiffe_sequence": sequence, **members}

    @property
    def refreshing(self) -> list[str]:
        return ["federation", "refresh", "-socketPath", str(self.ours.admin), "-id", self.bundle.trust_domain]

    def refresh(self) -> Output:
        return self.ours.run("portcullis", *self.refreshing)

    def held(self) -> list[bytes]:
        listed = self.ours.server("bundle list", "-id", self.bundle.id, "-output", "json").json()
        return [base64.b64decode(authority["asn1"]) for authority in listed["x509_authorities"]]

    def of(self, contents: dict[str, Any]) -> list[bytes]:
        """The X.509 authorities in a document."""
        return [base64.b64decode(key["x5c"][0]) for key in contents["keys"] if key["use"] == "x509-svid"]


def misshapen(peer: Peer) -> list[tuple[Behaviour, str]]:
    """Answers that empty what is held, each wrong in one way, with what is said of it."""
    jwt = next(key for key in peer.contents["keys"] if key["use"] == "jwt-svid")
    two = [jwt, {**jwt, "x": jwt["y"], "y": jwt["x"]}]
    empty = json.dumps(peer.numbered(11, keys=[]))
    wrong = [
        (document(peer.numbered(11, keys=two)), "has the key ID of another key"),
        (raw(http(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip\r\n")), "is not a JSON object"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x"), "exchange failed"),
        (raw(b"HTTP/1.0 200 OK\r\n\r\n" + empty.encode()[:-1]), "broke off"),
        (raw(http(b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}")), "without a sequence"),
    ]
    for name, value in (("sequence", 11), ("refresh_hint", 300)):
        for other in ("-1", "1e3", "11.0", "18446744073709551616", '"11"', "null", "[]", "true"):
            text = empty.replace(f'"spiffe_{name}": {value}', f'"spiffe_{name}": {other}')
            wrong.append((raw(http(text.encode())), f"`spiffe_{name}` of the bundle document is not"))
    return wrong


def http(body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def evil_peer(bench: Bench) -> None:
    home = bench.scratch / "evil"
    web, stranger = web_server(bench, home / "web"), web_server(bench, home / "stranger")
    timeout = {"PORTCULLIS_FEDERATION__TIMEOUT": "2s"}
    with (
        gateway_with_endpoints(bench, web, timeout) as (ours, _, _),
        endpoint(web.context()) as evil,
        endpoint(web.context()) as good,
        endpoint(stranger.context()) as strange,
        endpoint(None) as plain,
    ):
        neighbour = Peer(ours, good, foreign_bundle(bench, "good.example"))
        peer = Peer(ours, evil, foreign_bundle(bench, "evil.example"))
        held = peer.of(peer.contents)
        evil.behaviour = document(peer.numbered(10))
        peer.refresh().ok()

        unnumbered = {name: value for name, value in peer.contents.items() if name != "spiffe_sequence"}
        third = json.loads(foreign_bundle(bench, "third.example").document.read_text())
        for behaviour, why in (
            (document(peer.numbered(9, keys=third["keys"][1:])), "has the sequence 9, and 10 is held already"),
            (document(unnumbered), "came without a sequence, and 10 is held already"),
            (document(peer.numbered(2**53 + 1)), "has a sequence above"),
            (redirecting(plain.url), "redirects to `http://"),
            (redirecting("file:///etc/passwd"), "redirects to `file:"),
            (redirecting(evil.url), "redirects"),
            (endless(10, peer.numbered(11, keys=[])), ""),
            *misshapen(peer),
        ):
            evil.behaviour = behaviour
            peer.refresh().refused(why)
            expect_equal(peer.held(), held, f"what is held after `{why}`")
        expect_equal(plain.asked, 0, "questions that went unencrypted")

        headers = raw(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n")
        hints = raw(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        for behaviour in (silent, dripping, headers, hints):
            evil.behaviour = behaviour
            asked, before = evil.asked, good.asked
            with ours.running("portcullis", *peer.refreshing) as client:
                until("the peer is asked", lambda: evil.asked > asked)
                until("another peer is asked meanwhile", lambda: good.asked > before)
                expect_equal(client.process.wait(60), 1, "the status of a refresh that waited in vain")
            peer.refresh().refused("no answer within 2s")
            expect_equal(peer.held(), held, "what is held of a silent peer")

        # Others' authorities are left out, whoever serves them.
        own = json.loads(ours.server("bundle show", "-format", "spiffe").ok().stdout)
        mixed = [*peer.contents["keys"], third["keys"][0], *(key for key in own["keys"] if key["use"] == "x509-svid")]
        evil.behaviour = document(peer.numbered(11, keys=mixed))
        peer.refresh().ok()
        expect_equal(peer.held(), held, "what is held of three domains' authorities")

        evil.behaviour = document(peer.numbered(12, keys=[]))
        peer.refresh().ok()
        expect_equal(peer.held(), [], "what is held when all is revoked")
        evil.behaviour = document(peer.numbered(11))
        peer.refresh().refused("has the sequence 11, and 12 is held already")
        expect_equal(peer.held(), [], "what is held when a revoked key is replayed")

        with socket.create_server(("127.0.0.1", 0)) as mute:  # not even a handshake
            neighbour.move(f"https://127.0.0.1:{mute.getsockname()[1]}/")
            neighbour.refresh().refused("no answer within 2s")
        strange.behaviour = document(neighbour.numbered(99, keys=third["keys"][1:]))
        neighbour.move(strange.url)
        neighbour.refresh().refused("certificate")
        expect_equal((neighbour.held(), strange.asked), (neighbour.of(neighbour.contents), 0), "what a stranger got through")


CASES = (
    Case(
        "our bundle endpoint, followed by both profiles through three authorities", "go-spiffe", followed,
        needs=("openssl", "portcullis"),
    ),
    Case("the file with all bundles, as gRPC reads it", "go-spiffe", mapped, needs=("openssl", "spire-server")),
    Case(
        "a peer that is silent, slow, old, huge, elsewhere, empty, a stranger", "portcullis", evil_peer,
        needs=("openssl", "spire-server"),
    ),
)  # fmt: skip
