"""Our own command line prints what SPIRE's prints: the same command with both programs, compared byte by byte."""

from __future__ import annotations

import difflib
import os
import re

from bench import PARENT, TRUST_DOMAIN, Bench, Failed, Output
from cases.case import Case
from foreign import foreign_bundle

ATTEMPTS = 5
FORMATS = ("pretty", "json")
AGENT = f"spiffe://{TRUST_DOMAIN}/spire/agent/portcullis"
NOBODY = f"spiffe://{TRUST_DOMAIN}/nobody"


class Comparison:
    """Collects every difference, so that one run shows them all."""

    def __init__(self, bench: Bench, program: str, socket: str) -> None:
        self.bench = bench
        self.program = program
        self.socket = socket
        self.compared = 0
        self.differences: list[str] = []

    def same(self, command: str, *arguments: str, fleeting: str = "") -> None:
        """`fleeting` is a pattern of what differs between any two runs of the same program."""
        words = [*command.split(), "-socketPath", self.socket, *arguments]
        for _ in range(ATTEMPTS):  # a certificate may be renewed between two runs
            theirs, ours, later = (self.bench.run(program, *words) for program in (self.program, "portcullis", self.program))
            if lines(theirs, fleeting) == lines(later, fleeting):
                break
        else:
            raise Failed(f"`{' '.join(words)}` of {self.program} prints something else each time")
        shown = " ".join([*command.split(), *arguments])
        self.compared += 1
        if theirs.status != ours.status:
            said = f"{theirs.status} by {self.program}, {ours.status} by portcullis: {(ours.stderr or ours.stdout).strip()}"
            self.differences.append(f"`{shown}` ended with {said}")
            return
        wanted, got = (lines(output, fleeting) for output in (theirs, ours))
        if wanted != got:
            changes = difflib.unified_diff(wanted, got, self.program, "portcullis", n=0)
            self.differences.append("\n".join([f"`{shown}`:", *("    " + line.rstrip("\n") for line in changes)]))

    def in_each_format(self, command: str, *arguments: str, fleeting: str = "") -> None:
        for output in FORMATS:
            self.same(command, *arguments, "-output", output, fleeting=fleeting)

    def done(self) -> None:
        if self.differences:
            raise Failed("\n".join([f"{len(self.differences)} of {self.compared} differ", *self.differences]))


def lines(output: Output, fleeting: str) -> list[str]:
    text = re.sub(fleeting, "(fleeting)", output.stdout) if fleeting else output.stdout
    # An end without a newline must not look like one with it.
    return [repr(line)[1:-1] for line in text.splitlines(keepends=True)]


def server(bench: Bench) -> None:
    """What only reads, first of a server that has one of everything, then of what is not there."""
    one = Comparison(bench, "spire-server", str(bench.admin))
    foreign = foreign_bundle(bench, "twin.example")
    full = [
        "-entryID", "interop.twin", "-parentID", PARENT, "-spiffeID", f"spiffe://{TRUST_DOMAIN}/twin",
        "-selector", "unix:uid:4000002", "-selector", "unix:gid:4000002", "-x509SVIDTTL", "60", "-jwtSVIDTTL", "30",
        "-dns", "b.example", "-dns", "a.example", "-hint", "a \"hint\" <&> \u00e9", "-admin", "-downstream",
        "-entryExpiry", "1999999999", "-jwtSVIDIncludeJTI", "-disableX509SVIDPrefetch", "-federatesWith", foreign.id,
    ]  # fmt: skip
    plain = [
        "-entryID", "interop.twin.plain", "-parentID", PARENT, "-spiffeID", f"spiffe://{TRUST_DOMAIN}/twin/plain",
        "-selector", "unix:uid:4000002",
    ]  # fmt: skip
    relationships = {
        "web.example": ["-bundleEndpointProfile", "https_web"],
        "spiffe.example": ["-bundleEndpointProfile", "https_spiffe", "-endpointSpiffeID", "spiffe://spiffe.example/bundle"],
    }
    nothing_there(one)
    bench.server("bundle set", "-id", foreign.id, "-path", str(foreign.document), "-format", "spiffe").ok()
    try:
        for flags in (full, plain):
            bench.server("entry create", *flags).ok()
        for domain, flags in relationships.items():
            url = f"https://127.0.0.1:1/{domain}"  # it is asked, and nothing is there
            bench.server("federation create", "-trustDomain", domain, "-bundleEndpointURL", url, *flags).ok()
        for command in (
            "entry count", "bundle count", "bundle list", "bundle list -format spiffe",
            "bundle show", "bundle show -format spiffe", "localauthority x509 show", "localauthority jwt show",
            "agent count", "agent list", "federation list", "logger get",
        ):  # fmt: skip
            one.in_each_format(command)
        one.same("healthcheck")
        one.in_each_format("entry show")
        one.in_each_format("entry show", "-downstream=false")
        one.in_each_format("entry show", "-entryID", "interop.twin")
        one.in_each_format("entry show", "-selector", "unix:uid:4000002")
        one.in_each_format("entry show", "-selector", "unix:uid:4000002", "-matchSelectorsOn", "exact")
        one.in_each_format("entry show", "-federatesWith", foreign.id)
        one.in_each_format("entry show", "-downstream")
        one.in_each_format("entry count", "-selector", "unix:uid:4000002")
        one.in_each_format("bundle list", "-id", foreign.id)
        one.in_each_format("agent show", "-spiffeID", AGENT)
        for domain in relationships:
            one.in_each_format("federation show", "-trustDomain", domain)
    finally:
        for flags in (full, plain):
            bench.server("entry delete", "-entryID", flags[1])
        for domain in relationships:
            bench.server("federation delete", "-id", domain)
        bench.server("bundle delete", "-id", foreign.id, "-mode", "dissociate")
    one.done()


def nothing_there(one: Comparison) -> None:
    one.in_each_format("entry show", "-spiffeID", NOBODY)
    one.in_each_format("entry show", "-entryID", "nobody")
    one.in_each_format("entry count", "-spiffeID", NOBODY)
    one.in_each_format("entry delete", "-entryID", "nobody")
    one.in_each_format("bundle list")
    one.in_each_format("bundle list", "-id", "spiffe://nobody.example")
    one.in_each_format("bundle delete", "-id", "spiffe://nobody.example")
    one.in_each_format("federation list")
    one.in_each_format("federation show", "-trustDomain", "nobody.example")
    one.in_each_format("federation delete", "-id", "nobody.example")
    one.in_each_format("agent show", "-spiffeID", f"spiffe://{TRUST_DOMAIN}/spire/agent/nobody")
    one.in_each_format("localauthority x509 activate", "-authorityID", "nobody")


def agent(bench: Bench) -> None:
    """Both programs run as the same user, so one entry by user ID gives both the same identity."""
    one = Comparison(bench, "spire-agent", str(bench.workload))
    elapsed = r"after [0-9.]+[nµm]?s"
    for command in ("api fetch x509", "api fetch jwt -audience a"):
        one.in_each_format(command, "-timeout", "10s")
    token = ["-audience", "a", "-svid"]
    made = ["-entryID", "interop.twin", "-parentID", PARENT, "-spiffeID", f"spiffe://{TRUST_DOMAIN}/twin"]
    bench.server("entry create", *made, "-selector", f"unix:uid:{os.getuid()}", "-hint", "first").ok()
    try:
        svid = bench.agent("api fetch jwt", "-audience", "a", "-output", "json").json()[0]["svids"][0]["svid"]
        one.in_each_format("api validate jwt", *token, svid)
        one.in_each_format("api validate jwt", *token, "no.token.this")
        one.in_each_format("api fetch x509", fleeting=elapsed)
        one.in_each_format("api fetch jwt", "-audience", "a", fleeting=r"eyJ[\w-]+\.[\w.-]+")
    finally:
        bench.server("entry delete", "-entryID", "interop.twin")
    one.done()


CASES = (
    Case("our command line prints what spire-server prints", "portcullis", server, needs=("openssl",)),
    Case("our command line prints what spire-agent prints", "portcullis", agent, needs=("spire-agent",)),
)
