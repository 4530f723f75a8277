"""Bundles of other trust domains, and relationships with them, by SPIRE's own `spire-server`."""

from __future__ import annotations

from bench import PARENT, TRUST_DOMAIN, Bench, expect_equal, expect_in
from cases.case import Case
from foreign import foreign_bundle

ENDPOINT = "https://127.0.0.1:1/bundle"  # nothing is there: these cases are about the records


def foreign_bundles(bench: Bench) -> None:
    """set, list, count and the three ways to delete."""
    of_first, of_second = (foreign_bundle(bench, domain) for domain in ("first.example", "second.example"))
    first, second = of_first.id, of_second.id
    set_first = bench.server("bundle set", "-id", first, "-path", str(of_first.pem)).ok()
    expect_equal(set_first.stdout, "bundle set.\n", "bundle set")
    bench.server("bundle set", "-id", second, "-path", str(of_second.document), "-format", "spiffe").ok()
    listed = bench.server("bundle list").ok().stdout
    for domain in ("first.example", "second.example"):
        expect_in(f"* {domain}\n", listed, "bundle list")
    kept = bench.server("bundle list", "-id", second, "-output", "json").json()
    expect_equal(len(kept["jwt_authorities"]), 1, "the JWT authorities of a document")
    shown = bench.server("bundle list", "-id", first).ok().stdout
    expect_equal(shown.strip(), of_first.pem.read_text().strip(), "the authority of the first, as it was set")
    own = bench.server("bundle set", "-id", f"spiffe://{TRUST_DOMAIN}", "-path", str(of_first.pem))
    own.refused("own trust domain")
    # An authority whose certificate names a trust domain is that one's only; SPIRE doesn't look.
    for wrong in (of_second.pem.read_text(), bench.server("bundle show").ok().stdout):
        bench.server("bundle set", "-id", first, stdin=wrong).refused("can't be an authority")
    ids = ["interop.first", "interop.second"]
    for entry_id, foreign in zip(ids, (first, second)):
        spiffe_id = f"spiffe://{TRUST_DOMAIN}/{entry_id}"
        selected = ["-parentID", PARENT, "-spiffeID", spiffe_id, "-selector", "unix:uid:4000000"]
        bench.server("entry create", "-entryID", entry_id, *selected, "-federatesWith", foreign).ok()
    bench.server("bundle delete", "-id", first).refused("cannot delete bundle; federated with 1 registration entries")
    bench.server("bundle delete", "-id", first, "-mode", "dissociate").ok()
    kept_entry = bench.server("entry show", "-entryID", ids[0], "-output", "json").json()["entries"][0]
    expect_equal(kept_entry["federates_with"], [], "what an entry federates with after `dissociate`")
    bench.server("bundle delete", "-id", second, "-mode", "delete").ok()
    bench.server("entry show", "-entryID", ids[1]).refused("NotFound")
    bench.server("entry delete", "-entryID", ids[0]).ok()
    bench.server("bundle delete", "-id", first).refused("bundle not found")


def relationships(bench: Bench) -> None:
    web = ["-trustDomain", "web.example", "-bundleEndpointURL", ENDPOINT, "-bundleEndpointProfile", "https_web"]
    bench.server("federation create", *web).ok()
    spiffe = ["-bundleEndpointProfile", "https_spiffe", "-endpointSpiffeID", "spiffe://web.example/bundle"]
    changed = ["-trustDomain", "web.example", "-bundleEndpointURL", ENDPOINT + "/2", *spiffe]
    bench.server("federation update", *changed).ok()
    shown = bench.server("federation show", "-trustDomain", "web.example", "-output", "json").json()
    expect_equal(shown["https_spiffe"]["endpoint_spiffe_id"], "spiffe://web.example/bundle", "the endpoint's SPIFFE ID")
    expect_equal(shown["bundle_endpoint_url"], ENDPOINT + "/2", "the endpoint's URL")
    listed = bench.server("federation list", "-output", "json").json()["federation_relationships"]
    expect_equal([found["trust_domain"] for found in listed], ["web.example"], "federation list")
    bench.server("federation create", *web).refused("code: ")
    insecure = ["-trustDomain", "b.example", "-bundleEndpointURL", "http://127.0.0.1:1/", "-bundleEndpointProfile", "https_web"]
    bench.server("federation create", *insecure).refused("code: InvalidArgument", "https")
    own = ["-trustDomain", TRUST_DOMAIN, "-bundleEndpointURL", ENDPOINT, "-bundleEndpointProfile", "https_web"]
    bench.server("federation create", *own).refused("code: InvalidArgument")
    bench.server("federation delete", "-id", "web.example").ok()
    bench.server("federation show", "-trustDomain", "web.example").refused("NotFound")
    bench.server("federation refresh", "-id", "web.example").refused("no federation relationship")


CASES = (
    Case("bundle set, list, and delete by each mode", "spire-server", foreign_bundles, needs=("openssl",)),
    Case("federation create, update, show, list, delete", "spire-server", relationships),
)
