"""The client side of the py-spiffe cases: each verb is one scenario that prints a line per step for run.py to follow.

It finds the Workload API as every py-spiffe program does, by SPIFFE_ENDPOINT_SOCKET.
"""

import sys
import threading
from collections.abc import Callable

from spiffe import JwtSource, SpiffeId, TrustDomain, WorkloadApiClient, X509Source
from spiffe.errors import PySpiffeError

PATIENCE = 60.0
DOMAIN = TrustDomain("example.org")


def rotate() -> None:
    """Waits until the source has another certificate, and checks that both are signed by the source's own bundle."""
    with X509Source(timeout_in_seconds=PATIENCE) as source:
        changed = threading.Event()
        source.subscribe_for_updates(changed.set)
        first = signed_leaf(source)
        say(f"svid {source.get_x509_context().default_svid.spiffe_id}")
        while (second := signed_leaf(source)).serial_number == first.serial_number:
            if not changed.wait(PATIENCE):
                raise AssertionError("no rotation")
            changed.clear()
        if second.not_valid_after_utc <= first.not_valid_after_utc:
            raise AssertionError("the renewed certificate does not live longer than the old one")
        say(f"rotated {source.get_x509_context().default_svid.spiffe_id}")


def signed_leaf(source: X509Source):
    context = source.get_x509_context()
    leaf, *intermediates = context.default_svid.cert_chain
    bundle = context.x509_bundle_set.get_bundle_for_trust_domain(DOMAIN)
    signers = [*intermediates, *bundle.x509_authorities]
    signer = next((s for s in signers if s.subject == leaf.issuer), None)
    if signer is None:
        raise AssertionError(f"no authority in the bundle is {leaf.issuer.rfc4514_string()}")
    leaf.verify_directly_issued_by(signer)
    return leaf


def jwt() -> None:
    """Fetches a token, has it validated by the library and by the API, and expects a refusal for another audience."""
    with JwtSource(timeout_in_seconds=PATIENCE) as source, WorkloadApiClient(default_timeout=PATIENCE) as client:
        svid = source.fetch_svid({"billing", "ledger"})
        bundle = source.get_bundle_for_trust_domain(DOMAIN)
        mine = type(svid).parse_and_validate(svid.token, bundle, {"billing"})
        theirs = client.validate_jwt_svid(svid.token, "billing")
        if not mine.spiffe_id == theirs.spiffe_id == svid.spiffe_id:
            raise AssertionError(f"three subjects: {svid.spiffe_id}, {mine.spiffe_id}, {theirs.spiffe_id}")
        say(f"valid {svid.spiffe_id}")
        refused(lambda: type(svid).parse_and_validate(svid.token, bundle, {"other"}))
        refused(lambda: client.validate_jwt_svid(svid.token, "other"))
        say("refused another audience")
        refused(lambda: source.fetch_svid({"billing"}, SpiffeId("spiffe://example.org/not-mine")))
        say("refused another subject")


def denied() -> None:
    """Without an entry, each call is refused with the text that SPIRE's clients know."""
    with WorkloadApiClient(default_timeout=PATIENCE) as client:
        for call in (client.fetch_x509_svid, client.fetch_x509_bundles, client.fetch_jwt_bundles):
            refused(call, "no identity issued")
        refused(lambda: client.fetch_jwt_svid({"billing"}), "no identity issued")
    say("denied")


def refused(call: Callable[[], object], text: str = "") -> None:
    try:
        answer = call()
    except PySpiffeError as error:
        if text not in str(error):
            raise AssertionError(f"refused, but for another reason: {error}") from error
    else:
        raise AssertionError(f"not refused: {answer}")


def say(line: str) -> None:
    print(line, flush=True)


SCENARIOS = {"rotate": rotate, "jwt": jwt, "denied": denied}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SCENARIOS:
        sys.exit(f"usage: client.py {'|'.join(SCENARIOS)}")
    SCENARIOS[sys.argv[1]]()
