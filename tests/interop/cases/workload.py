"""The Workload API by SPIRE's own `spire-agent api`, by spiffe-helper and by grpcurl."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from bench import TRUST_DOMAIN, Bench, expect, expect_equal, expect_in, until
from cases.case import Case
from foreign import foreign_bundle

HEADER = ("-H", "workload.spiffe.io: true")
UNDESCRIBED = ("envoy.service.secret.v3.SecretDiscoveryService",)  # Envoy's, served without its descriptors
FETCH = "SpiffeWorkloadAPI/FetchX509SVID"


def agent_healthy(bench: Bench) -> None:
    expect_in("Agent is healthy.", bench.agent("healthcheck").ok().stdout, "the health check")


def no_identity(bench: Bench) -> None:
    """The code and the words by which clients know that they have no entry."""
    for command in ("api fetch x509", "api fetch jwt -audience a"):
        bench.agent(command, "-timeout", "10s").refused("code = PermissionDenied desc = no identity issued")


def fetch_x509(bench: Bench) -> None:
    """spire-agent itself verifies each certificate against its bundle before it prints anything."""
    home = bench.scratch / "fetched"
    home.mkdir()
    with bench.entry("fetch", "spire-agent", "-hint", "first", "-dns", "fetch.example") as spiffe_id:
        text = bench.agent("api fetch x509", "-write", str(home)).ok().stdout
        expect_in(f"SPIFFE ID:\t\t{spiffe_id}\n", text, "api fetch x509")
        expect_in("Hint:\t\t\tfirst\n", text, "api fetch x509")
        answer = bench.agent("api fetch x509", "-output", "json").json()
    expect_equal([svid["spiffe_id"] for svid in answer["svids"]], [spiffe_id], "the SVIDs")
    expect_equal(answer["crl"], [], "the revocation lists while nothing is revoked")
    expect_equal(sorted(file.name for file in home.iterdir()), ["bundle.0.pem", "svid.0.key", "svid.0.pem"], "the files")


def fetch_federated(bench: Bench) -> None:
    """A foreign bundle comes with the identity that federates with it."""
    bundle = foreign_bundle(bench, "federated.example")
    foreign = bundle.id
    bench.server("bundle set", "-id", foreign, "-path", str(bundle.pem)).ok()
    try:
        with bench.entry("federated", "spire-agent", "-federatesWith", foreign):
            answer = bench.agent("api fetch x509", "-output", "json").json()
            expect_equal(list(answer["federated_bundles"]), [foreign], "the foreign bundles")
            der = base64.b64decode(answer["federated_bundles"][foreign])
            expect_equal(der, base64.b64decode("".join(bundle.pem.read_text().splitlines()[1:-1])), "the foreign authority")
    finally:
        bench.server("bundle delete", "-id", foreign, "-mode", "dissociate").ok()


def fetch_jwt(bench: Bench) -> None:
    with bench.entry("token", "spire-agent") as spiffe_id:
        text = bench.agent("api fetch jwt", "-audience", "a,b").ok().stdout
        expect_in(f"token({spiffe_id}):\n\t", text, "api fetch jwt")
        expect_in(f"bundle(spiffe://{TRUST_DOMAIN}):\n\t", text, "api fetch jwt")
        svids, bundles = bench.agent("api fetch jwt", "-audience", "a,b", "-spiffeID", spiffe_id, "-output", "json").json()
        token = svids["svids"][0]["svid"]
        keys = json.loads(base64.b64decode(bundles["bundles"][f"spiffe://{TRUST_DOMAIN}"]))["keys"]
        header = json.loads(decoded(token.split(".")[0]))
        expect(header["kid"] in [key["kid"] for key in keys], f"the key {header['kid']} is in the bundle")
        # As SPIRE does: libraries for plain JWTs refuse a key whose use they don't know.
        expect(all("use" not in key and "x5c" not in key for key in keys), f"plain keys: {keys}")
        checked = bench.agent("api validate jwt", "-audience", "b", "-svid", token, "-output", "json").json()
        expect_equal((checked["spiffe_id"], checked["claims"]["aud"]), (spiffe_id, ["a", "b"]), "the validated token")
        bench.agent("api validate jwt", "-audience", "c", "-svid", token).refused("SVID is not valid")
        bench.agent("api fetch jwt", "-audience", "a", "-spiffeID", f"{spiffe_id}/other").refused("PermissionDenied")
        for name, forged in forgeries(token):
            refusal = bench.agent("api validate jwt", "-audience", "b", "-svid", forged)
            expect(refusal.status != 0, f"a token with {name} is refused: {refusal.stdout}")
            expect_in("SVID is not valid", refusal.stderr, f"a token with {name}")


def forgeries(token: str) -> list[tuple[str, str]]:
    head, body, signature = token.split(".")
    header = json.loads(decoded(head))
    claims = json.loads(decoded(body))
    encoded = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()  # noqa: E731
    without_key = {name: value for name, value in header.items() if name != "kid"}
    return [
        ("alg none", f"{encoded(header | {'alg': 'none'})}.{body}."),
        ("alg HS256", f"{encoded(header | {'alg': 'HS256'})}.{body}.{signature}"),
        ("no kid", f"{encoded(without_key)}.{body}.{signature}"),
        ("another kid", f"{encoded(header | {'kid': 'nobody'})}.{body}.{signature}"),
        ("another subject", f"{head}.{encoded(claims | {'sub': claims['sub'] + '/x'})}.{signature}"),
        ("a later expiry", f"{head}.{encoded(claims | {'exp': claims['exp'] + 3600})}.{signature}"),
        ("a foreign subject", f"{head}.{encoded(claims | {'sub': 'spiffe://nobody.example/x'})}.{signature}"),
        ("two parts", f"{head}.{body}"),
    ]


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def watch(bench: Bench) -> None:
    """One stream sees the entry made, the certificate renewed, and the entry deleted."""
    with bench.running("spire-agent", "api", "watch", "-socketPath", str(bench.workload)) as watcher:
        with bench.entry("watched", "spire-agent") as spiffe_id:
            watcher.expect(f"SPIFFE ID:\t\t{spiffe_id}")
            first = watcher.expect("SVID Valid Until:")
            watcher.expect(f"SPIFFE ID:\t\t{spiffe_id}")
            expect(watcher.expect("SVID Valid Until:") != first, "the renewed certificate lives longer")
        bench.agent("api fetch x509", "-timeout", "10s").refused("no identity issued")


def helper(bench: Bench) -> None:
    """spiffe-helper as a daemon writes the files, and writes them anew when the certificate is renewed."""
    home = bench.scratch / "helper"
    home.mkdir()
    names = ("svid.pem", "svid.key", "bundle.pem", "token.jwt", "bundle.json")
    configuration = home / "helper.conf"
    configuration.write_text(f"""
        agent_address = "{bench.workload}"
        cert_dir = "{home}"
        svid_file_name = "svid.pem"
        svid_key_file_name = "svid.key"
        svid_bundle_file_name = "bundle.pem"
        jwt_svids = [{{ jwt_audience = "billing", jwt_svid_file_name = "token.jwt" }}]
        jwt_bundle_file_name = "bundle.json"
    """)
    with bench.entry("helped", "spiffe-helper") as spiffe_id:
        with bench.running("spiffe-helper", "-config", str(configuration)):
            until("spiffe-helper writing all files", lambda: all(filled(home / name) for name in names))
            first = (home / "svid.pem").read_text()
            until("spiffe-helper renewing the certificate", lambda: (home / "svid.pem").read_text() not in ("", first))
        token = (home / "token.jwt").read_text().strip()
        checked = bench.agent("api validate jwt", "-audience", "billing", "-svid", token, "-output", "json").json()
        expect_equal(checked["spiffe_id"], spiffe_id, "the subject of the token in the file")
    expect_equal((home / "svid.key").stat().st_mode & 0o777, 0o600, "the mode of the key's file")


def filled(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def reflected(bench: Bench) -> None:
    """Both sockets say what they serve, and that they are well."""
    for socket, services in (
        (bench.workload, ("SpiffeWorkloadAPI", "envoy.service.secret.v3.SecretDiscoveryService")),
        (bench.admin, tuple(f"spire.api.server.{name}" for name in (
            "agent.v1.Agent", "bundle.v1.Bundle", "debug.v1.Debug", "entry.v1.Entry", "localauthority.v1.LocalAuthority",
            "logger.v1.Logger", "svid.v1.SVID", "trustdomain.v1.TrustDomain",
        ))),
    ):  # fmt: skip
        listed = grpcurl(bench, socket, "list").ok().stdout.split()
        for service in (*services, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"):
            expect(service in listed, f"{socket.name} lists {service}: {listed}")
            if service not in UNDESCRIBED:
                grpcurl(bench, socket, "describe", service).ok()
        health = grpcurl(bench, socket, "grpc.health.v1.Health/Check").json()
        expect_equal(health, {"status": "SERVING"}, f"the health of {socket.name}")


def security_header(bench: Bench) -> None:
    """W1: exactly one header, exactly `true`."""
    wrong = ((), ("-H", "workload.spiffe.io: True"), (*HEADER, *HEADER), (*HEADER, "-H", "workload.spiffe.io: false"))
    for headers in wrong:
        refusal = grpcurl(bench, bench.workload, *headers, FETCH)
        refusal.refused("Code: InvalidArgument", "security header missing from request")
    grpcurl(bench, bench.workload, *HEADER, FETCH).refused("Code: PermissionDenied", "no identity issued")
    for method in ("FetchWITSVID", "FetchWITBundles"):
        grpcurl(bench, bench.workload, *HEADER, f"SpiffeWorkloadAPI/{method}").refused("Code: Unimplemented")


def grpcurl(bench: Bench, socket: Path, *arguments: str):
    flags = arguments[:-1] if "/" in arguments[-1] else ()
    rest = arguments[len(flags) :]
    return bench.run("grpcurl", "-plaintext", "-max-time", "10", *flags, f"unix://{socket}", *rest)


CASES = (
    Case("healthcheck", "spire-agent", agent_healthy),
    Case("api fetch without an entry", "spire-agent", no_identity),
    Case("api fetch x509, to the screen, as JSON and into files", "spire-agent", fetch_x509),
    Case("api fetch x509 with a foreign bundle", "spire-agent", fetch_federated, needs=("openssl",)),
    Case("api fetch jwt, api validate jwt, and eight forgeries", "spire-agent", fetch_jwt),
    Case("api watch sees an entry made, renewed and deleted", "spire-agent", watch),
    Case("writes X.509 and JWT files, and renews them", "spiffe-helper", helper),
    Case("reflection and health on both sockets", "grpcurl", reflected),
    Case("the security header absent, wrong, doubled", "grpcurl", security_header),
)
