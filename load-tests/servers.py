"""Who is measured: how each is started on an estate's policies, and in which format it is asked."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import languages
from model import TRUST_DOMAIN, Estate, workload_id
from processes import Process, Processors, free_port, listens

START_WITHIN = 300.0  # seconds; a hundred thousand policies take their time


@dataclass
class Running:
    """A server that answers."""

    process: Process
    address: str
    wire: str
    all_allowed: bool
    load_s: float

    def stop(self) -> None:
        self.process.stop()


@dataclass(frozen=True)
class Server:
    """One that can be measured."""

    key: str
    title: str
    start: Callable[["Ground", Estate], Running]
    slow: bool = False  # goes through all policies for each request


@dataclass
class Ground:
    """What servers are started with."""

    home: Path  # a directory of this run, short enough for sockets
    programs: dict[str, Path]
    processors: Processors

    def fresh(self, name: str) -> Path:
        directory = self.home / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return directory

    def run(self, name: str, command: list[str | Path], home: Path, extra: dict[str, str] | None = None) -> Process:
        words = [str(word) for word in command]
        return Process(name, words, home / f"{name}.log", self.processors.servers, extra or {})


# --- Portcullis ---------------------------------------------------------------------------------------------------


def portcullis(ground: Ground, estate: Estate, tcp: bool = False) -> Running:
    home = ground.fresh("portcullis")
    languages.cedar(estate, home / "policies")
    (home / "run").mkdir()
    # Its authority outlives this process, and so do the certificates that it signed.
    data = ground.home / "portcullis-data"
    shutil.rmtree(data / "log", ignore_errors=True)
    address = f"tcp:127.0.0.1:{free_port()}" if tcp else f"unix:{home}/run/ext_authz.sock"
    config = {
        "trust_domain": TRUST_DOMAIN,
        "data_dir": str(data),
        "listen": {
            "workload": f"unix:{home}/run/workload.sock",
            "ext_authz": address,
            "authzen": f"unix:{home}/run/authzen.sock",
            "operations": f"unix:{home}/run/operations.sock",
            "admin": f"unix:{home}/run/admin.sock",
        },
        "decision": {"policies": str(home / "policies")},
        "log": {"format": "text"},
    }
    (home / "portcullis.yaml").write_text(json.dumps(config))
    process = ground.run("portcullis", [ground.programs["portcullis"], "serve", "-c", home / "portcullis.yaml"], home)
    took = started(process, lambda: answers(home / "run" / "operations.sock", "/readyz") and listens(address))
    return Running(process, address, "ext-authz", False, took)


def mint(ground: Ground, workloads: list[int], extra: tuple[tuple[str, str], ...] = ()) -> dict[str, str]:
    """X.509-SVIDs from the Portcullis that runs: leaf certificates by SPIFFE ID. `extra` are other paths with DNS names."""
    admin = ground.home / "portcullis" / "run" / "admin.sock"
    kept = ground.home / "svids"
    wanted = [(workload_id(number), None) for number in workloads]
    wanted += [(f"spiffe://{TRUST_DOMAIN}/{path}", name) for path, name in extra]
    leaves = {}
    for spiffe_id, dns in wanted:
        directory = kept / spiffe_id.rsplit("/", 1)[1]
        if not directory.exists():
            directory.mkdir(parents=True)
            command = [ground.programs["portcullis"], "x509", "mint", "--socketPath", admin, "--spiffeID", spiffe_id]
            # They outlast the run, so that none is renewed in the middle of it.
            command += ["--ttl", "24h", "--write", directory] + (["--dns", dns] if dns else [])
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"minting for {spiffe_id} failed: {done.stderr.strip()}")
        leaves[spiffe_id] = leaf(directory / "svid.pem")
    return leaves


def leaf(file: Path) -> str:
    """The first certificate of a chain: what Envoy shows of a client."""
    end = "-----END CERTIFICATE-----\n"
    return file.read_text().split(end)[0] + end


# --- the others ---------------------------------------------------------------------------------------------------


def always_allow(ground: Ground, _estate: Estate, tcp: bool = False) -> Running:
    home = ground.fresh("always-allow")
    address = f"tcp:127.0.0.1:{free_port()}" if tcp else f"unix:{home}/authz.sock"
    process = ground.run("always-allow", [ground.programs["load-peer"], "--listen", address, "always-allow"], home)
    return Running(process, address, "ext-authz", True, started(process, lambda: listens(address)))


def plain_cedar(ground: Ground, estate: Estate) -> Running:
    home = ground.fresh("plain-cedar")
    languages.cedar(estate, home / "policies")
    address = f"unix:{home}/authz.sock"
    command = [ground.programs["load-peer"], "--listen", address, "plain-cedar", "--policies", home / "policies"]
    process = ground.run("plain-cedar", command, home)
    return Running(process, address, "ext-authz", False, started(process, lambda: listens(address)))


def opa(write: Callable[[Estate, Path], None], wire: str) -> Callable[[Ground, Estate], Running]:
    def start(ground: Ground, estate: Estate) -> Running:
        home = ground.fresh("opa")
        write(estate, home / "bundle")
        operations = home / "operations.sock"
        # Neither telemetry nor a look for newer versions: nothing leaves this machine. No decision log, its default.
        plugin = {"addr": f"unix://{home}/authz.sock", "path": "envoy/authz/allow", "skip-request-body-parse": True}
        (home / "config.json").write_text(json.dumps({"plugins": {"envoy_ext_authz_grpc": plugin}}))
        command = [ground.programs["opa"], "run", "--server", "--disable-telemetry", "--skip-version-check"]
        command += ["--log-level", "error", "--addr", f"unix://{operations}", "--config-file", home / "config.json"]
        process = ground.run("opa", [*command, home / "bundle"], home)
        address = f"unix:{home}/authz.sock"
        took = started(process, lambda: answers(operations, "/health?plugins") and listens(address))
        return Running(process, address, wire, False, took)

    return start


def cerbos(ground: Ground, estate: Estate) -> Running:
    home = ground.fresh("cerbos")
    languages.cerbos(estate, home / "policies")
    config = {
        "server": {"httpListenAddr": f"unix:{home}/http.sock", "grpcListenAddr": f"unix:{home}/grpc.sock"},
        "storage": {"driver": "disk", "disk": {"directory": str(home / "policies"), "watchForChanges": False}},
        "telemetry": {"disabled": True},
        "audit": {"enabled": False},
    }
    (home / "config.json").write_text(json.dumps(config))
    command = [ground.programs["cerbos"], "server", "--log-level=error", f"--config={home / 'config.json'}"]
    process = ground.run("cerbos", command, home, {"CERBOS_NO_TELEMETRY": "1"})
    took = started(process, lambda: answers(home / "http.sock", "/_cerbos/health") and listens(f"unix:{home}/grpc.sock"))
    return Running(process, f"unix:{home}/grpc.sock", "cerbos", False, took)


SERVERS = (
    Server("always-allow", "bare tonic, always yes", always_allow),
    Server("portcullis", "Portcullis", portcullis),
    Server("opa-indexed", "OPA, indexed Rego", opa(languages.rego_indexed, "ext-authz-joined")),
    Server("opa-bare", "OPA, indexed, no certificate sent", opa(languages.rego_indexed, "ext-authz-bare")),
    Server("opa-naive", "OPA, naive Rego", opa(languages.rego_naive, "ext-authz-joined"), slow=True),
    Server("cerbos", "Cerbos", cerbos),
    Server("plain-cedar", "tonic and plain cedar-policy", plain_cedar, slow=True),
)  # fmt: skip
OVER_TCP = (
    Server("always-allow-tcp", "bare tonic, always yes, over TCP", lambda g, e: always_allow(g, e, tcp=True)),
    Server("portcullis-tcp", "Portcullis, over TCP", lambda g, e: portcullis(g, e, tcp=True)),
)


# --- waiting ------------------------------------------------------------------------------------------------------


def started(process: Process, ready: Callable[[], bool]) -> float:
    try:
        return process.wait_until(ready, START_WITHIN)
    except BaseException:
        process.stop()
        raise


def answers(path: Path, what: str) -> bool:
    """Whether a server on a Unix socket answers with 200."""
    return fetched(path, what) is not None


def fetched(path: Path, what: str) -> str | None:
    """What a server on a Unix socket answers with 200."""
    connection = http.client.HTTPConnection("localhost", timeout=2)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(2)
        connection.sock.connect(str(path))
        connection.request("GET", what)
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
