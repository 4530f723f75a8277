"""The verbs of SPIRE's own `spire-server`, and of spire-controller-manager, against our admin socket."""

from __future__ import annotations

import base64
import re

from bench import PARENT, TRUST_DOMAIN, Bench, expect, expect_equal, expect_in
from cases.case import Case

A_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[\s\S]+?-----END CERTIFICATE-----\n")


def healthy(bench: Bench) -> None:
    expect_equal(bench.server("healthcheck").ok().stdout, "Server is healthy.\n", "the health check")


def entry_cycle(bench: Bench) -> None:
    """An entry with every field that the command line knows comes back whole, changes, and goes."""
    full = [
        "-entryID", "interop.full", "-parentID", PARENT, "-spiffeID", id_of("full"), "-selector", "unix:uid:4000000",
        "-selector", "unix:gid:4000000", "-x509SVIDTTL", "60", "-jwtSVIDTTL", "30", "-dns", "b.example", "-dns", "a.example",
        "-hint", "internal", "-admin", "-downstream", "-entryExpiry", "1999999999", "-jwtSVIDIncludeJTI",
        "-disableX509SVIDPrefetch",
    ]  # fmt: skip
    block = bench.server("entry create", *full).ok().stdout
    for line in (
        "Entry ID                : interop.full", "SPIFFE ID               : spiffe://example.org/full",
        "Revision                : 0", "Downstream              : true", "X509-SVID TTL           : 60",
        "JWT-SVID TTL            : 30", "Expiration time         : 2033-05-18 03:33:19 +0000 UTC",
        "Selector                : unix:uid:4000000", "DNS name                : b.example", "Admin                   : true",
        "Hint                    : internal", "DisableX509SvidPrefetch : true", "JwtSvidIncludeJti       : true",
    ):  # fmt: skip
        expect_in(line, block, "the new entry")
    shown = bench.server("entry show", "-entryID", "interop.full").ok().stdout
    expect_in("Found 1 entry\n", shown, "entry show")
    stored = bench.server("entry show", "-entryID", "interop.full", "-output", "json").json()["entries"][0]
    expect_equal(stored["dns_names"], ["b.example", "a.example"], "the order of the DNS names")
    expect(int(stored["created_at"]) > 1_700_000_000, f"created_at is {stored['created_at']}")
    changed = bench.server(
        "entry update", "-entryID", "interop.full", "-parentID", PARENT, "-spiffeID", id_of("full"),
        "-selector", "unix:uid:4000001", "-output", "json",
    ).json()["results"][0]["entry"]  # fmt: skip
    expect_equal(changed["revision_number"], "1", "the revision after an update")
    expect_equal((changed["hint"], changed["admin"], changed["dns_names"]), ("", False, []), "what an update leaves out")
    expect_equal(changed["created_at"], stored["created_at"], "created_at after an update")
    gone = bench.server("entry delete", "-entryID", "interop.full").ok().stdout
    expect_in("Deleted entry with ID: interop.full\n", gone, "entry delete")
    bench.server("entry show", "-entryID", "interop.full").refused("NotFound", "entry not found")


def entry_refusals(bench: Bench) -> None:
    """What a script tells apart by SPIRE's codes and words."""
    first = ["-parentID", PARENT, "-spiffeID", id_of("once"), "-selector", "unix:uid:4000000"]
    bench.server("entry create", "-entryID", "interop.once", *first).ok()
    try:
        again = bench.server("entry create", *first, "-hint", "another")
        again.refused("code: AlreadyExists", "similar entry already exists", "failed to create one or more entries")
        named = ["-entryID", "interop.once", "-parentID", PARENT, "-spiffeID", id_of("twice"), "-selector", "unix:uid:1"]
        bench.server("entry create", *named).refused("code: AlreadyExists")
    finally:
        bench.server("entry delete", "-entryID", "interop.once").ok()
    bench.server("entry delete", "-entryID", "interop.once").refused("code: NotFound", "entry not found")
    bench.server("entry update", "-entryID", "interop.once", *first).refused("code: NotFound")
    for spiffe_id, why in (
        ("spiffe://other.example/a", "is not a member of trust domain"),
        (f"spiffe://{TRUST_DOMAIN}", "path is empty"),
        (id_of("spire/agent/x"), "path is in the reserved namespace"),
    ):
        refusal = bench.server("entry create", "-parentID", PARENT, "-spiffeID", spiffe_id, "-selector", "unix:uid:1")
        refusal.refused("code: InvalidArgument", why)
    own = [*first, "-federatesWith", f"spiffe://{TRUST_DOMAIN}"]
    bench.server("entry create", *own).refused("code: InvalidArgument")


def early_federation(bench: Bench) -> None:
    """SPIRE refuses an entry that federates with a trust domain without a bundle; here the bundle may come later."""
    made = ["-entryID", "interop.early", "-parentID", PARENT, "-spiffeID", id_of("early"), "-selector", "unix:uid:4000000"]
    bench.server("entry create", *made, "-federatesWith", "spiffe://unheard-of.example").ok()
    try:
        kept = bench.server("entry show", "-entryID", "interop.early", "-output", "json").json()["entries"][0]
        expect_equal(kept["federates_with"], ["unheard-of.example"], "what the entry federates with")
    finally:
        bench.server("entry delete", "-entryID", "interop.early").ok()


def entry_listing(bench: Bench) -> None:
    """Filters and counts; a batch from a file. Without `-downstream`, spire-server asks for entries that are not downstream."""
    before = bench.server("entry count", "-output", "json").json()["count"]
    batch = """{"entries": [
        {"selectors": [{"type": "unix", "value": "uid:4000001"}, {"type": "unix", "value": "gid:4000001"}],
         "spiffe_id": "spiffe://example.org/listed/a", "parent_id": "spiffe://example.org/node", "hint": "listed"},
        {"selectors": [{"type": "unix", "value": "uid:4000001"}],
         "spiffe_id": "spiffe://example.org/listed/b", "parent_id": "spiffe://example.org/node"},
        {"selectors": [{"type": "unix", "value": "uid:4000001"}],
         "spiffe_id": "spiffe://example.org/listed/c", "parent_id": "spiffe://example.org/node", "downstream": true}]}"""
    made = bench.server("entry create", "-data", "-", "-output", "json", stdin=batch).json()["results"]
    ids = [result["entry"]["id"] for result in made]
    try:
        expect_equal(bench.server("entry count", "-output", "json").json()["count"], before + 2, "the count")
        downstream = bench.server("entry count", "-downstream", "-output", "json").json()["count"]
        expect_equal(downstream, 1, "the count of downstream entries")
        one, both = ["-selector", "unix:uid:4000001"], ["-selector", "unix:gid:4000001", "-selector", "unix:uid:4000001"]
        for flags, wanted in (
            (["-spiffeID", id_of("listed/a")], ids[:1]),
            (["-hint", "listed"], ids[:1]),
            (["-downstream"], ids[2:]),
            ([*one, "-matchSelectorsOn", "exact"], ids[1:2]),
            ([*one, "-matchSelectorsOn", "superset"], ids[:2]),
            ([*one, "-matchSelectorsOn", "any"], ids[:2]),
            ([*both, "-matchSelectorsOn", "exact"], ids[:1]),
            ([*both, "-matchSelectorsOn", "subset"], ids[:2]),
        ):
            found = bench.server("entry show", *flags, "-output", "json").json()["entries"]
            expect_equal({entry["id"] for entry in found}, set(wanted), f"entry show {' '.join(flags)}")
    finally:
        for entry_id in ids:
            bench.server("entry delete", "-entryID", entry_id).ok()


def tokens(bench: Bench) -> None:
    plain = bench.server("token generate").ok().stdout
    expect(re.match(r"Token: [0-9a-f-]{36}\n", plain) is not None, f"a token: {plain!r}")
    expect_in("Warning: Missing SPIFFE ID.", plain, "a token without an ID")
    token = bench.server("token generate", "-spiffeID", id_of("alias"), "-output", "json").json()["value"]
    alias = bench.server("entry show", "-spiffeID", id_of("alias"), "-output", "json").json()["entries"]
    agent = f"/spire/agent/join_token/{token}"
    expect_equal([entry["parent_id"]["path"] for entry in alias], [agent], "the parent of a token's alias")
    selectors = [{"type": "spiffe_id", "value": f"spiffe://{TRUST_DOMAIN}{agent}"}]
    expect_equal(alias[0]["selectors"], selectors, "the selectors of a token's alias")
    bench.server("entry delete", "-entryID", alias[0]["id"]).ok()
    bench.server("token generate", "-ttl", "0").refused("InvalidArgument", "ttl is required")
    bench.server("token generate", "-spiffeID", "spiffe://other.example/x").refused("InvalidArgument")


def agents(bench: Bench) -> None:
    expect(isinstance(bench.server("agent list", "-output", "json").json()["agents"], list), "agents are a list")
    expect("count" in bench.server("agent count", "-output", "json").json(), "agents are counted")
    absent = f"spiffe://{TRUST_DOMAIN}/spire/agent/join_token/nobody"
    for verb in ("show", "ban", "evict"):
        bench.server(f"agent {verb}", "-spiffeID", absent).refused("NotFound", "agent not found")
        bench.server(f"agent {verb}", "-spiffeID", id_of("web")).refused("InvalidArgument", "not in the agent namespace")


def minting(bench: Bench) -> None:
    """A minted certificate is written as three files, a minted token says what was asked for."""
    home = bench.scratch / "minted"
    home.mkdir()
    bench.server("x509 mint", "-spiffeID", id_of("minted"), "-dns", "minted.example", "-write", str(home)).ok()
    for name in ("svid.pem", "bundle.pem"):
        expect(A_CERTIFICATE.match((home / name).read_text()) is not None, f"{name} holds certificates")
    expect_in("PRIVATE KEY", (home / "key.pem").read_text(), "key.pem")
    token = bench.server("jwt mint", "-spiffeID", id_of("minted"), "-audience", "a", "-audience", "b").ok().stdout.strip()
    checked = bench.agent("api validate jwt", "-audience", "b", "-svid", token, "-output", "json").json()
    expect_equal(checked["spiffe_id"], id_of("minted"), "the minted token's subject")
    expect_equal(checked["claims"]["aud"], ["a", "b"], "the minted token's audience")
    for kind, more in (("x509", []), ("jwt", ["-audience", "a"])):
        bench.server(f"{kind} mint", "-spiffeID", "spiffe://other.example/x", *more).refused("InvalidArgument")
        bench.server(f"{kind} mint", "-spiffeID", id_of("spire/server"), *more).refused("InvalidArgument", "reserved")


def own_bundle(bench: Bench) -> None:
    """The same authorities in each of the three forms."""
    pem = bench.server("bundle show").ok().stdout
    document = bench.server("bundle show", "-format", "spiffe").json()
    listed = bench.server("bundle show", "-output", "json").json()
    certificates = [base64.b64decode(authority["asn1"]) for authority in listed["x509_authorities"]]
    bodies = [re.sub(r"-----[A-Z ]+-----|\s", "", text) for text in A_CERTIFICATE.findall(pem)]
    expect_equal([base64.b64decode(body) for body in bodies], certificates, "the PEM of the bundle")
    chains = [key["x5c"] for key in document["keys"] if key["use"] == "x509-svid"]
    expect_equal([[base64.b64decode(c) for c in chain] for chain in chains], [[c] for c in certificates], "the x5c members")
    kids = {key["kid"] for key in document["keys"] if key["use"] == "jwt-svid"}
    expect_equal(kids, {authority["key_id"] for authority in listed["jwt_authorities"]}, "the JWT key IDs")
    expect(bool(certificates) and bool(kids), "the bundle has authorities of both kinds")


def log_level(bench: Bench) -> None:
    launched = bench.server("logger get", "-output", "json").json()["launch_level"]
    expect_equal(bench.server("logger set", "-level", "debug", "-output", "json").json()["current_level"], "DEBUG", "the level")
    back = bench.server("logger reset", "-output", "json").json()
    expect_equal(back, {"current_level": launched, "launch_level": launched}, "the levels after a reset")


def debug_info(bench: Bench) -> None:
    info = bench.server("debug getinfo", "-output", "json").json()
    entries = bench.server("entry count", "-output", "json").json()["count"]
    expect_equal(info["entries_count"], entries, "the number of entries")
    expect_in("uptime", " ".join(info), "the server's information")


def controller(scenario: str) -> Case:
    names = {
        "fields": "the controller's probe finds no field that we drop",
        "entries": "the controller makes, changes, lists and deletes 120 entries in its batches",
        "federation": "the controller makes, changes, lists and deletes a federation relationship",
        "webhook": "the controller's webhook certificate verifies as a web server's",
    }
    return Case(names[scenario], "controller-manager", lambda b: b.run("controller-manager", scenario, str(b.admin)).ok() and None)


def id_of(path: str) -> str:
    return f"spiffe://{TRUST_DOMAIN}/{path}"


CASES = (
    Case("healthcheck", "spire-server", healthy),
    Case("entry create, show, update, delete with every field", "spire-server", entry_cycle),
    Case("entry refusals in SPIRE's codes and words", "spire-server", entry_refusals),
    Case("entry that federates with a trust domain without a bundle", "spire-server", early_federation),
    Case("entry show and count by every filter, create from a file", "spire-server", entry_listing),
    Case("token generate, with and without an alias", "spire-server", tokens),
    Case("agent list, count, show, ban, evict", "spire-server", agents),
    Case("bundle show as PEM, SPIFFE document and JSON", "spire-server", own_bundle),
    Case("logger get, set, reset", "spire-server", log_level),
    Case("debug getinfo", "spire-server", debug_info),
    Case("x509 mint and jwt mint", "spire-agent", minting),
    *(controller(scenario) for scenario in ("fields", "entries", "federation", "webhook")),
)
