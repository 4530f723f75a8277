"""Two SPIREs federated with us, one by each profile, while every authority of all three is replaced three times."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench import TRUST_DOMAIN, Bench, Client, expect, expect_equal, expect_in, until
from cases.admin import A_CERTIFICATE
from cases.authorities import order, state
from cases.case import Case
from cases.endpoints import ENDPOINT_ID, ROTATIONS, endpoint_settings
from gateway import ROOT, Gateway, free_port
from spire import Spire, shown_signer, spire
from webca import web_server

SERVICE = f"spiffe://{TRUST_DOMAIN}/orders"
CALLER = f"spiffe://{TRUST_DOMAIN}/caller"
PROFILES = {"web.test": "https_web", "svid.test": "https_spiffe"}
POLICY = """
@id("{domain}-reads-orders")
permit (principal == Workload::"spiffe://{domain}/shop", action in Action::"read", resource in Path::"/orders");
"""
GREETED = 5  # calls that must pass before the next step


class Greeter(BaseHTTPRequestHandler):
    """The service behind Envoy greets whom the gateway says that it is."""

    def do_GET(self) -> None:  # noqa: N802, that is how the library calls it
        body = f"hello {self.headers.get('x-portcullis-principal')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def service() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Greeter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Flow:
    """Somebody who calls, or is called, with what says of itself: who signed its certificate, and whom it believes."""

    client: Client
    domain: str  # its own
    peer: str  # the domain of the other side

    def state(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in self.client.latest("state").split())

    def passed(self) -> int:
        """How many calls have passed so far, of which none may have failed."""
        count = int(self.client.latest("passed") or 0)
        failed = [line for line in self.client.seen if line.startswith("failed")]
        expect(not failed, f"{self.domain} called {self.peer}, and {len(failed)} of {count} calls failed: {failed[:3]}")
        return count

    def end(self) -> int:
        self.client.process.terminate()
        said = dict(word.split("=") for word in self.client.expect("done").split()[1:])
        expect_equal(said["failed"], "0", f"failed calls of {self.domain}")
        return int(said["passed"])


@contextmanager
def envoy(bench: Bench, binary: Path, gateway: Gateway, backend: int) -> Iterator[int]:
    """The sidecar of `orders`, as it is in envoy/backend.yaml but for paths, ports and how long a busy machine may take."""
    home, port = bench.scratch / "envoy", free_port()
    home.mkdir()
    text = (ROOT / "envoy" / "backend.yaml").read_text()
    for given, ours in (
        ("/run/portcullis", str(gateway.home / "run")), ("/run/envoy", str(home)), ("18443", str(port)),
        ("18080", str(backend)), ("timeout: 0.2s", "timeout: 10s"), ("connect_timeout: 0.1s", "connect_timeout: 10s"),
    ):  # fmt: skip
        expect_in(given, text, "envoy/backend.yaml")
        text = text.replace(given, ours)
    configuration = home / "envoy.yaml"
    configuration.write_text(text)
    flags = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    with bench.running(binary, "-c", str(configuration), *flags):
        until("Envoy shows its certificate", lambda: signer_at(port) != "")
        yield port


def signer_at(port: int) -> str:
    try:
        return shown_signer(port)
    except OSError:
        return ""


def federate(ours: Bench, peer: Spire, web_url: str, spiffe_url: str) -> None:
    """Each side is told of the other; with `https_spiffe` it must have the other's bundle to begin with."""
    profile = ["-bundleEndpointProfile", peer.profile]
    here = ["federation", "create", "-trustDomain", peer.trust_domain, "-bundleEndpointURL", peer.endpoint, *profile]
    there = ["-trustDomain", TRUST_DOMAIN, "-bundleEndpointURL", web_url, *profile]
    if peer.profile == "https_spiffe":
        first = [peer.home / name for name in ("theirs.json", "ours.json")]
        for file, side in zip(first, (peer.bench, ours)):
            file.write_text(side.server("bundle show", "-format", "spiffe").ok().stdout)
        formatted = ["-trustDomainBundleFormat", "spiffe", "-trustDomainBundlePath"]
        here += ["-endpointSpiffeID", peer.server_id, *formatted, str(first[0])]
        there[3] = spiffe_url
        there += ["-endpointSpiffeID", ENDPOINT_ID, *formatted, str(first[1])]
    ours.run("portcullis", *here, "-socketPath", str(ours.admin)).ok()
    peer.bench.server("federation create", *there).ok()
    until(f"{peer.trust_domain} has our bundle", lambda: bundle_at(peer.bench, TRUST_DOMAIN) == own_bundle(ours))
    until(f"we have the bundle of {peer.trust_domain}", lambda: bundle_at(ours, peer.trust_domain) == own_bundle(peer.bench))


def bundle_at(side: Bench, domain: str) -> set[str]:
    """The X.509 authorities of a domain as a side has them; none, if it has never heard of it."""
    return set(A_CERTIFICATE.findall(side.server("bundle list", "-id", f"spiffe://{domain}").stdout))


def own_bundle(side: Bench) -> set[str]:
    return set(A_CERTIFICATE.findall(side.server("bundle show").ok().stdout))


def through_rotations(bench: Bench) -> None:
    web = web_server(bench, bench.scratch / "peers")
    gateway, web_port, spiffe_port = Gateway(bench.tools["portcullis"]), free_port(), free_port()
    settings = endpoint_settings(web, web_port, spiffe_port) | {"PORTCULLIS_IDENTITY__X509_SVID_TTL": "15m"}
    policies = {f"{domain}.cedar": POLICY.format(domain=domain) for domain in PROFILES}
    try:
        gateway.start(settings, policies)
        ours = bench.at(gateway.workload, gateway.admin)
        sidecar, caller = bench.twin("envoy", "orders-envoy"), bench.twin("go-spiffe", "caller")
        federated = [flag for domain in PROFILES for flag in ("-federatesWith", f"spiffe://{domain}")]
        with ExitStack() as stack:
            peers = [stack.enter_context(spire(bench, domain, profile, web)) for domain, profile in PROFILES.items()]
            for peer in peers:
                federate(ours, peer, f"https://127.0.0.1:{web_port}/", f"https://127.0.0.1:{spiffe_port}/")
                peer.register(TRUST_DOMAIN)
            stack.enter_context(ours.entry("orders", sidecar, *federated))
            stack.enter_context(ours.entry("caller", caller, *federated))
            port = stack.enter_context(envoy(ours, sidecar, gateway, stack.enter_context(service())))
            flows = list(start_flows(stack, ours, caller, peers, f"https://127.0.0.1:{port}/orders/17"))
            for _ in range(ROTATIONS):
                rotate(ours, peers, flows, port)
            counts = [flow.end() for flow in flows if flow.passed()]
            expect_equal(len(counts), 2 * len(peers), "who called")
            for peer in peers:
                follows_to_the_end(ours, peer)
            print(f"·       {sum(counts)} calls while all authorities were replaced, none failed", flush=True)
    finally:
        gateway.stop()


def start_flows(stack: ExitStack, ours: Bench, caller: Path, peers: list[Spire], url: str) -> Iterator[Flow]:
    """SPIRE's workloads call ours through Envoy, and ours call SPIRE's, which verify them by what SPIRE's agent hands out."""
    for peer in peers:
        called = stack.enter_context(peer.bench.running("go-spiffe", "answer", CALLER))
        address = called.expect("listening").split()[-1]
        yield Flow(called, peer.trust_domain, TRUST_DOMAIN)
        there = stack.enter_context(peer.bench.running("go-spiffe", "call", url, SERVICE))
        yield Flow(there, peer.trust_domain, TRUST_DOMAIN)
        here = stack.enter_context(ours.running(caller, "call", f"https://{address}/", peer.workload_id))
        yield Flow(here, TRUST_DOMAIN, peer.trust_domain)


def rotate(ours: Bench, peers: list[Spire], flows: list[Flow], port: int) -> None:
    """Replaces all authorities at once: each step is taken when all have followed the one before, while all call on."""
    sides = {TRUST_DOMAIN: ours, **{peer.trust_domain: peer.bench for peer in peers}}
    olds = {domain: state(side, "x509")["active"] for domain, side in sides.items()}
    serials = {peer.trust_domain: peer.agent_serial() for peer in peers}
    for side in sides.values():
        order(side, "x509", "prepare").ok()
    nexts = {domain: state(side, "x509")["prepared"] for domain, side in sides.items()}
    for flow in flows:
        calm(flows, f"{flow.domain} believes the next of {flow.peer}", lambda: nexts[flow.peer] in flow.state()["trusts"])
    for domain, side in sides.items():
        order(side, "x509", "activate", nexts[domain]).ok()
        order(side, "x509", "taint", olds[domain]).ok()
    for flow in flows:
        calm(flows, f"{flow.domain} has a new certificate", lambda: flow.state()["signer"] == nexts[flow.domain])
    calm(flows, "Envoy has a new certificate", lambda: signer_at(port) == nexts[TRUST_DOMAIN])
    for peer in peers:
        name = peer.trust_domain
        calm(flows, f"the server of {name} has a new certificate", lambda: peer.signer() == nexts[name])
        calm(flows, f"the agent of {name} has a new certificate", lambda: peer.agent_serial() != serials[name])
    for domain, side in sides.items():
        order(side, "x509", "revoke", olds[domain]).ok()
    before = [flow.passed() for flow in flows]
    for flow, count in zip(flows, before):
        if count:
            calm(flows, f"{flow.domain} calls on", lambda: flow.passed() >= count + GREETED)


def calm(flows: list[Flow], what: str, met: Callable[[], bool]) -> None:
    """Waits for something while no call fails."""

    def met_calmly() -> bool:
        for flow in flows:
            flow.passed()
        return met()

    until(what, met_calmly)


def follows_to_the_end(ours: Bench, peer: Spire) -> None:
    name = peer.trust_domain
    until(f"{name} has lost our old authority", lambda: bundle_at(peer.bench, TRUST_DOMAIN) == own_bundle(ours))
    until(f"we have lost the old authority of {name}", lambda: bundle_at(ours, name) == own_bundle(peer.bench))
    shown = ours.run("portcullis", "federation", "show", "-trustDomain", name, "-state", "-socketPath", str(ours.admin))
    expect_in("Bundle                    : current\n", shown.ok().stdout, f"the relationship with {name}")


CASES = (
    Case(
        "SPIRE federated with us by both profiles, through three authorities on each side", "spire-server",
        through_rotations, needs=("envoy", "go-spiffe", "openssl", "portcullis", "spire-agent"),
    ),
)  # fmt: skip
