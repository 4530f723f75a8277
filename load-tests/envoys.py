"""End to end: a request over mTLS through an Envoy that asks nobody, or somebody, and on to a service."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import servers
from measure import Generator, Scale, Target, Unfit
from model import Estate, service_name, workload_id, workload_name
from processes import free_port, listens
from servers import Ground, Running

TYPE = "type.googleapis.com/envoy.extensions"
HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}
SERVER_NAME = "orders.load.test"
PROXY = "proxy"


@dataclass(frozen=True)
class Variant:
    key: str
    title: str
    server: str | None  # whom Envoy asks
    as_we_want_it: bool = True  # raw headers and the certificate; else Envoy's defaults


VARIANTS = (
    Variant("plain", "Envoy alone", None),
    Variant("always-allow", "with bare tonic, always yes", "always-allow"),
    Variant("portcullis", "with Portcullis", "portcullis"),
    Variant("opa-indexed", "with OPA, indexed Rego", "opa-indexed", as_we_want_it=False),
)


def measure(
    ground: Ground, generator: Generator, estate: Estate, variant: Variant, scale: Scale, say: Callable[[str], None]
) -> dict:
    """One Envoy. All of its questions are one caller's, for a connection has one."""
    caller = estate.callers(0)[0]
    asked: Running | None = None
    started = []
    try:
        if variant.server:
            server = next(one for one in servers.SERVERS if one.key == variant.server)
            asked = server.start(ground, estate)
            started.append(asked.process)
        home = ground.fresh(f"envoy-{variant.key}")
        questions = home / "questions.json"
        estate.write_questions(questions, {}, only=caller)
        service = f"tcp:127.0.0.1:{free_port()}"
        behind = ground.run("service", [ground.programs["load-peer"], "--listen", service, "service"], home)
        started.append(behind)
        behind.wait_until(lambda: listens(service), 10)
        port = free_port()
        config = home / "envoy.json"
        config.write_text(json.dumps(configuration(ground.home, variant, asked, port, service)))
        command = [ground.programs["envoy"], "-c", config, "--disable-hot-restart", "--concurrency", "1"]
        envoy = ground.run("envoy", [*command, "--log-level", "error"], home)
        started.append(envoy)
        envoy.wait_until(lambda: listens(f"tcp:127.0.0.1:{port}"), 30)
        all_allowed = asked is None or asked.all_allowed
        target = Target(
            f"tcp:127.0.0.1:{port}", "http", questions, (envoy.pid, *((asked.process.pid,) if asked else ())),
            all_allowed, (ground.home / "svids" / workload_name(caller), SERVER_NAME),
        )  # fmt: skip
        say("closed loop")
        found = {"fresh": generator.closed(target, scale, True, 0.0), "open": {}}
        for rate in scale.envoy_rates:
            say(f"open loop, {rate:,} a second")
            if rate > 0.9 * found["fresh"]["per_second"]:
                found["open"][str(rate)] = {"reason": f"at most {found['fresh']['per_second']:,.0f} a second"}
            else:
                found["open"][str(rate)] = generator.open(target, scale, True, float(rate))
        return found
    finally:
        for process in reversed(started):
            process.stop()


def identities(ground: Ground, estate: Estate) -> None:
    """The certificates of the proxy and of the caller, from the Portcullis that runs."""
    servers.mint(ground, [estate.callers(0)[0]], ((PROXY, SERVER_NAME),))
    for name in (PROXY, workload_name(estate.callers(0)[0])):
        if not (ground.home / "svids" / name / "bundle.pem").exists():
            raise Unfit(f"no bundle was minted for {workload_id(0)}")


def configuration(home: Path, variant: Variant, asked: Running | None, port: int, service: str) -> dict:
    clusters = [cluster("service", service)]
    filters = []
    if asked:
        clusters.append(cluster("authorizer", asked.address))
        filters.append(
            {
                "name": "envoy.filters.http.ext_authz",
                "typed_config": {
                    "@type": f"{TYPE}.filters.http.ext_authz.v3.ExtAuthz",
                    "transport_api_version": "V3",
                    "grpc_service": {"envoy_grpc": {"cluster_name": "authorizer"}, "timeout": "60s"},
                    "include_peer_certificate": variant.as_we_want_it,
                    "include_tls_session": variant.as_we_want_it,
                    "encode_raw_headers": variant.as_we_want_it,
                },
            }
        )
    filters.append({"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}})
    route: dict = {"match": {"prefix": "/"}, "route": {"cluster": "service"}}
    if asked:
        route["typed_per_filter_config"] = {
            "envoy.filters.http.ext_authz": {
                "@type": f"{TYPE}.filters.http.ext_authz.v3.ExtAuthzPerRoute",
                "check_settings": {"context_extensions": {"service": service_name(0)}},
            }
        }
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "codec_type": "AUTO",
        "normalize_path": True,
        "merge_slashes": True,
        "use_remote_address": True,
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True},
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    chain = {
        "transport_socket": transport_socket(home / "svids" / PROXY),
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "node": {"id": "load-test", "cluster": "load-test"},
        "static_resources": {
            "listeners": [{"name": "ingress", "address": address, "filter_chains": [chain]}],
            "clusters": clusters,
        },
    }


def transport_socket(svid: Path) -> dict:
    file = lambda name: {"filename": str(svid / name)}  # noqa: E731
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificates": [{"certificate_chain": file("svid.pem"), "private_key": file("key.pem")}],
                "validation_context": {"trusted_ca": file("bundle.pem")},
            },
        },
    }


def cluster(name: str, address: str) -> dict:
    kind, _, where = address.partition(":")
    if kind == "unix":
        endpoint = {"pipe": {"path": where}}
    else:
        host, _, port = where.rpartition(":")
        endpoint = {"socket_address": {"address": host, "port_value": int(port)}}
    most = {"max_requests": 100_000, "max_pending_requests": 100_000}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": HTTP2,
        "circuit_breakers": {"thresholds": [most]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}]},
    }
