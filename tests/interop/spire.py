"""A SPIRE of a trust domain of its own: server and agent, as released, with a bundle endpoint and one kind of workload."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import Bench, Client, Failed, until
from gateway import free_port
from webca import WebServer

# Its intervals are minutes and seconds by default. The shortest that it polls a bundle endpoint stays: 15 seconds.
SERVER = """
server {{
    bind_address = "127.0.0.1"
    bind_port = {port}
    socket_path = "{home}/server.sock"
    trust_domain = "{trust_domain}"
    data_dir = "{home}"
    log_file = "{home}/server.log"
    default_x509_svid_ttl = "1h"
    experimental {{
        cache_reload_interval = "1s"
    }}
    federation {{
        bundle_endpoint {{
            address = "127.0.0.1"
            port = {endpoint_port}
            profile "{profile}" {{
                {shown}
            }}
        }}
    }}
}}
plugins {{
    DataStore "sql" {{
        plugin_data {{
            database_type = "sqlite3"
            connection_string = "{home}/server.db"
        }}
    }}
    KeyManager "memory" {{ plugin_data {{}} }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"""
FILES = """
                serving_cert_file {{
                    cert_file_path = "{web.certificate}"
                    key_file_path = "{web.key}"
                    file_sync_interval = "1h"
                }}
"""
AGENT = """
agent {{
    data_dir = "{home}/agent"
    log_file = "{home}/agent.log"
    server_address = "127.0.0.1"
    server_port = {port}
    socket_path = "{home}/agent.sock"
    trust_bundle_path = "{home}/bundle.pem"
    trust_domain = "{trust_domain}"
    experimental {{
        sync_interval = "1s"
    }}
}}
plugins {{
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "memory" {{ plugin_data {{}} }}
    WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


@dataclass(frozen=True)
class Spire:
    trust_domain: str
    profile: str
    home: Path
    port: int  # of the server, for its agents
    endpoint: str  # the URL of its bundle
    bench: Bench  # at its sockets
    agent_id: str

    @property
    def id(self) -> str:
        return f"spiffe://{self.trust_domain}"

    @property
    def server_id(self) -> str:
        """Whose SVID the endpoint shows with `https_spiffe`."""
        return f"{self.id}/spire/server"

    @property
    def workload_id(self) -> str:
        return f"{self.id}/shop"

    def register(self, federates_with: str) -> None:
        """Every process of this user is its workload."""
        self.bench.server(
            "entry create", "-parentID", self.agent_id, "-spiffeID", self.workload_id,
            "-selector", f"unix:uid:{os.getuid()}", "-federatesWith", f"spiffe://{federates_with}",
        ).ok()  # fmt: skip

    def agent_serial(self) -> str:
        shown = self.bench.server("agent show", "-spiffeID", self.agent_id, "-output", "json").json()
        return str(shown["x509svid_serial_number"])

    def signer(self) -> str:
        """The authority that signed the server's own SVID."""
        return shown_signer(self.port)


@contextmanager
def spire(bench: Bench, trust_domain: str, profile: str, web: WebServer) -> Iterator[Spire]:
    home = bench.scratch / trust_domain
    (home / "agent").mkdir(parents=True)
    port, endpoint_port = free_port(), free_port()
    shown = FILES.format(web=web) if profile == "https_web" else ""
    values = {"home": home, "port": port, "endpoint_port": endpoint_port, "trust_domain": trust_domain}
    (home / "server.conf").write_text(SERVER.format(**values, profile=profile, shown=shown))
    (home / "agent.conf").write_text(AGENT.format(**values))
    own = bench.at(home / "agent.sock", home / "server.sock")
    believes = {"SSL_CERT_FILE": str(web.authority)}
    with bench.running("spire-server", "run", "-config", str(home / "server.conf"), environment=believes) as server:
        try:
            until(f"the SPIRE server of {trust_domain} is well", lambda: lives(server) and own.server("healthcheck").status == 0)
            (home / "bundle.pem").write_text(own.server("bundle show").ok().stdout)
            token = own.server("token generate", "-output", "json").json()["value"]
            joined = ["-config", str(home / "agent.conf"), "-joinToken", token]
            with bench.running("spire-agent", "run", *joined) as agent:
                until(f"the SPIRE agent of {trust_domain} is well", lambda: lives(agent) and own.agent("healthcheck").status == 0)
                agent_id = f"spiffe://{trust_domain}/spire/agent/join_token/{token}"
                endpoint = f"https://127.0.0.1:{endpoint_port}/"
                yield Spire(trust_domain, profile, home, port, endpoint, own, agent_id)
        except Failed as failure:
            raise Failed(f"{failure}\n{complaints(home)}") from failure


def lives(client: Client) -> bool:
    """Fails with what it said last if it has ended."""
    client.latest("")
    return True


def complaints(home: Path) -> str:
    """What server and agent have complained of last."""
    said = []
    for log in (home / "server.log", home / "agent.log"):
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said += [f"{home.name}, {log.name}: {line}" for line in lines if "level=error" in line][-5:]
    return "\n".join(said)


def shown_signer(port: int) -> str:
    """The authority that signed what a server shows, by the name that the certificate has for it (RFC 5280 4.2.1.1)."""
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    extension = bytes.fromhex("0603551d23")
    start = der.index(extension) + len(extension)
    # OCTET STRING, SEQUENCE and the key identifier, [0]: three tags and three lengths.
    length = der[start + 5]
    return der[start + 6 : start + 6 + length].hex()
