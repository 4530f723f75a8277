"""Starts and ends everything that the demo needs: the gateway, its impostor, the upstream and the sidecars."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from wire import Answer, over_tcp, over_unix

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORKLOADS = ("web", "batch", "orders")
FIRST_UID = 61001  # as in portcullis.yaml: web, batch, orders
IMPOSTOR_UID = 61004
VOUCHING_KERNEL = (6, 5)  # the first Linux that says which very process is calling (SO_PEERPIDFD)
SVID_TTL = "16s"  # so that a rotation happens while one watches


class Stack:
    """All processes of the demo, in one directory that goes away with them.

    As root, each sidecar runs under a user id of its own and is told apart by `unix:uid`. As an ordinary user there is
    only one id, so each sidecar runs from a hard link of Envoy of its own and is told apart by `unix:path`.
    """

    def __init__(self, portcullis: Path, envoy: Path, say: Callable[[str], None]) -> None:
        self.portcullis = portcullis
        self.envoy = envoy
        self.say = say
        self.as_root = os.geteuid() == 0
        # Not under target/: other users must be able to reach the sockets, and a socket's path must be short.
        self.run = Path(tempfile.mkdtemp(prefix="portcullis-demo-", dir="/tmp"))
        self.run.chmod(0o755)
        self.policies = self.run / "policies"
        self.audit = self.run / "data" / "audit.jsonl"
        self.ports = dict(zip(("backend", "web", "batch", "impostor", "upstream", "authzen", "operations"), free_ports(7)))
        # What only an old kernel makes the gateways need.
        self.concessions: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # --- starting -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        shutil.copytree(ROOT / "policies" / "quickstart", self.policies)
        self.say("starting the upstream")
        self.spawn("upstream", [sys.executable, str(HERE / "upstream.py"), str(self.ports["upstream"])])
        if kernel_version(platform.release()) < VOUCHING_KERNEL:
            self.say("this kernel is older than Linux 6.5: callers are looked up by process id (docs/operations.md)")
            self.concessions["PORTCULLIS_IDENTITY__ATTEST_BY_PID_LOOKUP"] = "true"
        self.say("starting portcullis, and an impostor: another CA for the same trust domain")
        self.start_gateway()
        self.start_impostor_gateway()
        self.say("starting four Envoys: web, batch, orders, and the impostor's")
        for name in WORKLOADS:
            self.start_sidecar(name)
        self.start_impostor_sidecar()
        for name in (*WORKLOADS, "impostor"):
            self.wait_until(f"the {name} sidecar is ready", lambda: self.admin(name, "/ready").status == 200)

    def start_gateway(self) -> None:
        environment = {
            "PORTCULLIS_DATA_DIR": str(self.run / "data"),
            "PORTCULLIS_AUDIT__CHECKPOINT_EVERY": "100ms",  # so that a record can be shown at once
            "PORTCULLIS_AUDIT__FILE": str(self.audit),
            "PORTCULLIS_LISTEN__WORKLOAD": f"unix:{self.run}/workload.sock",
            "PORTCULLIS_LISTEN__EXT_AUTHZ": f"unix:{self.run}/ext_authz.sock?mode=0666",
            "PORTCULLIS_LISTEN__AUTHZEN": f"tcp:127.0.0.1:{self.ports['authzen']}",
            "PORTCULLIS_LISTEN__OPERATIONS": f"tcp:127.0.0.1:{self.ports['operations']}",
            "PORTCULLIS_LISTEN__ADMIN": f"unix:{self.run}/admin.sock",
            "PORTCULLIS_DECISION__POLICIES": str(self.policies),
            "PORTCULLIS_IDENTITY__X509_SVID_TTL": SVID_TTL,
            "PORTCULLIS_IDENTITY__ENTRIES": self.entries(WORKLOADS),
        }
        self.spawn("portcullis", self.serve_command(), environment | self.concessions)
        self.wait_until(
            "portcullis is ready", lambda: over_tcp(self.ports["operations"], "GET", "/readyz").status == 200
        )

    def start_impostor_gateway(self) -> None:
        home = self.run / "impostor"
        environment = {
            "PORTCULLIS_DATA_DIR": str(home / "data"),
            "PORTCULLIS_LISTEN__WORKLOAD": f"unix:{home}/workload.sock",
            "PORTCULLIS_LISTEN__EXT_AUTHZ": f"unix:{home}/ext_authz.sock",
            "PORTCULLIS_LISTEN__AUTHZEN": f"unix:{home}/authzen.sock",
            "PORTCULLIS_LISTEN__OPERATIONS": f"unix:{home}/operations.sock",
            "PORTCULLIS_LISTEN__ADMIN": f"unix:{home}/admin.sock",
            "PORTCULLIS_DECISION__POLICIES": str(self.policies),
            "PORTCULLIS_IDENTITY__ENTRIES": self.entries(("impostor",), "web"),
        }
        self.spawn("impostor-portcullis", self.serve_command(), environment | self.concessions)
        ready = str(home / "operations.sock")
        self.wait_until("the impostor is ready", lambda: over_unix(ready, "GET", "/readyz").status == 200)

    def serve_command(self) -> list[str]:
        return [str(self.portcullis), "serve", "-c", str(HERE / "portcullis.yaml")]

    def entries(self, workloads: tuple[str, ...], identity: str | None = None) -> str:
        """The registration entries for this machine, as YAML that the environment can carry."""
        return json.dumps(
            [
                {
                    "id": name,
                    "spiffe_id": f"spiffe://example.org/{identity or name}",
                    "selectors": [f"unix:uid:{self.uid(name)}" if self.as_root else f"unix:path:{self.binary(name)}"],
                }
                for name in workloads
            ]
        )

    def start_sidecar(self, name: str) -> None:
        if name == "orders":
            text = (ROOT / "envoy" / "backend.yaml").read_text()
        else:
            text = (ROOT / "envoy" / "caller.yaml").read_text()
            text = text.replace("18001", str(self.ports[name]))
            # New connections all the time, so that the demo sees the handshakes with a renewed SVID.
            text = text.replace("max_connection_duration: 300s", "max_connection_duration: 1s")
        self.start_envoy(name, text, self.run)

    def start_impostor_sidecar(self) -> None:
        text = (HERE / "impostor.yaml").read_text().replace("18003", str(self.ports["impostor"]))
        self.start_envoy("impostor", text, self.run / "impostor")

    def start_envoy(self, name: str, text: str, gateway: Path) -> None:
        """Runs an Envoy on a configuration with this run's ports and directories in it."""
        home = self.home(name)
        home.mkdir()
        text = text.replace("/run/portcullis", str(gateway)).replace("/run/envoy", str(home))
        text = text.replace("18443", str(self.ports["backend"])).replace("18080", str(self.ports["upstream"]))
        config = home / "envoy.yaml"
        config.write_text(text)
        try:
            os.link(self.envoy, self.binary(name))
        except OSError:  # another file system, or a link is not allowed
            shutil.copy(self.envoy, self.binary(name))
        if self.as_root:
            os.chown(home, self.uid(name), self.uid(name))
        command = [str(self.binary(name)), "-c", str(config)]
        command += ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        self.spawn(f"envoy-{name}", command, user=self.uid(name) if self.as_root else None)

    def admin(self, name: str, path: str) -> Answer:
        """Asks a sidecar's own admin port."""
        return over_unix(str(self.home(name) / "admin.sock"), "GET", path)

    def home(self, name: str) -> Path:
        return self.run / f"envoy-{name}"

    def binary(self, name: str) -> Path:
        return self.home(name) / "envoy"

    def uid(self, name: str) -> int:
        return IMPOSTOR_UID if name == "impostor" else FIRST_UID + WORKLOADS.index(name)

    # --- processes ------------------------------------------------------------------------------------------------

    def spawn(self, name: str, command: list[str], extra: dict[str, str] | None = None, user: int | None = None) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PORTCULLIS_")}
        log = (self.run / f"{name}.log").open("ab")
        identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.processes[name] = subprocess.Popen(
            command, env={**inherited, **(extra or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **identity
        )
        log.close()

    def wait_until(self, what: str, reached: Callable[[], bool], seconds: float = 30) -> None:
        """Waits for `reached`; tells which process died, or what was waited for in vain."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended with {process.returncode}; its log:\n{self.log(name)}")
            try:
                if reached():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"waited {seconds:.0f} s in vain until {what}; the gateway's log:\n{self.log('portcullis')}")

    def log(self, name: str) -> str:
        return "\n".join((self.run / f"{name}.log").read_text(errors="replace").splitlines()[-30:])

    def stop(self) -> None:
        """Ends what was started, by its own process ids, and removes the directory."""
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 8
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.run, ignore_errors=True)

    # --- what was recorded ----------------------------------------------------------------------------------------

    def records(self) -> Iterator[dict]:
        """The audit log so far."""
        if self.audit.exists():
            with self.audit.open() as lines:
                for line in lines:
                    if line.endswith("\n"):
                        yield json.loads(line)

    def decision(self, decision_id: str) -> dict | None:
        """The record of a decision; it is written within moments of the answer."""
        deadline = time.monotonic() + 3
        while decision_id and time.monotonic() < deadline:
            for record in self.records():
                if record.get("decision_id") == decision_id:
                    return record
            time.sleep(0.02)
        return None


def kernel_version(release: str) -> tuple[int, int]:
    """Major and minor number of a release such as `6.1.0-18-amd64`; the lowest for one that has none."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
