"""`spire-server localauthority`: the slots of the signing authorities, moved by hand."""

from __future__ import annotations

import base64
from typing import Any

from bench import Bench, expect, expect_equal
from cases.case import Case


def slots(kind: str):
    def check(bench: Bench) -> None:
        """prepare, activate, taint, revoke: in this order only, and the bundle follows each step."""
        first = state(bench, kind)["active"]
        for verb in ("activate", "taint", "revoke"):
            order(bench, kind, verb, "nobody").refused("InvalidArgument")
            order(bench, kind, verb, first).refused("InvalidArgument")
        order(bench, kind, "prepare").ok()
        second = state(bench, kind)["prepared"]
        expect(first != second, "the prepared authority is another one")
        expect_equal(published(bench, kind), {first: False, second: False}, "the bundle after `prepare`")
        order(bench, kind, "revoke", second).refused("InvalidArgument")
        order(bench, kind, "activate", second).ok()
        expect_equal(state(bench, kind), {"active": second, "prepared": "", "old": first}, "the slots after `activate`")
        order(bench, kind, "activate", first).refused()
        order(bench, kind, "revoke", first).refused("FailedPrecondition", "is not tainted")
        order(bench, kind, "taint", second).refused("InvalidArgument")
        order(bench, kind, "taint", first).ok()
        expect_equal(published(bench, kind), {first: True, second: False}, "the bundle after `taint`")
        order(bench, kind, "taint", first).refused("FailedPrecondition", "is tainted already")
        order(bench, kind, "revoke", first).ok()
        expect_equal(published(bench, kind), {second: False}, "the bundle after `revoke`")
        order(bench, kind, "revoke", first).refused()

    return check


def order(bench: Bench, kind: str, verb: str, authority: str = ""):
    return bench.server(f"localauthority {kind} {verb}", *(["-authorityID", authority] if authority else []))


def state(bench: Bench, kind: str) -> dict[str, str]:
    shown = bench.server(f"localauthority {kind} show", "-output", "json").json()
    return {slot: (shown.get(slot) or {}).get("authority_id", "") for slot in ("active", "prepared", "old")}


def published(bench: Bench, kind: str) -> dict[str, bool]:
    """The authorities in the bundle and whether each is tainted."""
    bundle: dict[str, Any] = bench.server("bundle show", "-output", "json").json()
    if kind == "jwt":
        return {key["key_id"]: key["tainted"] for key in bundle["jwt_authorities"]}
    # A certificate's authority ID is its subject key identifier: the 20 bytes after the extension's object identifier.
    found = {}
    for authority in bundle["x509_authorities"]:
        found[subject_key_id(authority["asn1"])] = authority["tainted"]
    return found


def subject_key_id(certificate: str) -> str:
    der = base64.b64decode(certificate)
    extension = bytes.fromhex("0603551d0e")
    start = der.index(extension) + len(extension)
    # OCTET STRING of an OCTET STRING: two tags and two lengths.
    length = der[start + 3]
    return der[start + 4 : start + 4 + length].hex()


def follows_rotation(bench: Bench) -> None:
    """A workload that is connected gets a certificate of the new authority, and its bundle loses the revoked one."""
    first = state(bench, "x509")["active"]
    with bench.entry("outlives", "spire-agent") as spiffe_id:
        bench.agent("api fetch x509").ok()
        with bench.running("spire-agent", "api", "watch", "-socketPath", str(bench.workload)) as watcher:
            watcher.expect(spiffe_id)
            order(bench, "x509", "prepare").ok()
            second = state(bench, "x509")["prepared"]
            order(bench, "x509", "activate", second).ok()
            order(bench, "x509", "taint", first).ok()
            order(bench, "x509", "revoke", first).ok()
            watcher.expect(spiffe_id)
        # spire-agent prints an SVID only if it chains to the bundle that came with it.
        answer = bench.agent("api fetch x509", "-output", "json").json()
        expect_equal(subject_key_id(answer["svids"][0]["bundle"]), second, "the authority in the workload's bundle")


CASES = (
    Case("localauthority x509: prepare, activate, taint, revoke", "spire-server", slots("x509")),
    Case("localauthority jwt: prepare, activate, taint, revoke", "spire-server", slots("jwt")),
    Case("a connected workload follows the authority's replacement", "spire-agent", follows_rotation),
)
