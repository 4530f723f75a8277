"""Starts and ends everything that the demo needs: the gateway, the MCP server and its Envoy."""

from __future__ import annotations

import http.client
import json
import os
import re
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agents import Agent
from login import Login

HERE = Path(__file__).resolve().parent
MCP_ENVOY = HERE.parent / "mcp" / "envoy.yaml"
VOUCHING_KERNEL = (6, 5)  # the first Linux that says which very process is calling (SO_PEERPIDFD)


class Stack:
    """All processes of the demo, in one directory that goes away with them."""

    def __init__(self, portcullis: Path, envoy: Path) -> None:
        self.portcullis = portcullis
        self.run = Path(tempfile.mkdtemp(prefix="agents-", dir="/tmp"))  # a socket's path must be short
        self.token_port, self.mcp_port, self.server_port = free_ports(3)
        self.login = Login("https://login.example.org")
        self.binary = self.run / "envoy"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            os.link(envoy, self.binary)  # of its own, so that the gateway can tell it by its path
        except OSError:
            shutil.copy(envoy, self.binary)

    def start(self) -> None:
        shutil.copytree(HERE / "policies", self.run / "policies")
        shutil.copy(HERE / "routes.yaml", self.run)
        (self.run / "login.json").write_text(self.login.keys())
        config = self.placed("portcullis.yaml", HERE / "portcullis.yaml", {"/run/agents": str(self.run)})
        extra = {}
        if kernel_version(platform.release()) < VOUCHING_KERNEL:
            extra["PORTCULLIS_IDENTITY__ATTEST_BY_PID_LOOKUP"] = "true"
        self.spawn("portcullis", [str(self.portcullis), "serve", "-c", str(config)], extra)
        self.wait_until("portcullis is ready", lambda: self.status("operations.sock", "/readyz") == 200)
        self.spawn("mcp-server", [sys.executable, str(HERE / "mcp_server.py"), str(self.server_port)])
        (self.run / "envoy-admin").mkdir()
        places = {"/run/portcullis": str(self.run), "/run/envoy": str(self.run / "envoy-admin"), "18080": str(self.server_port)}
        config = self.placed("envoy.yaml", MCP_ENVOY, places)
        command = [str(self.binary), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        self.spawn("envoy", command)
        self.wait_until("Envoy is ready", lambda: self.status("envoy-admin/admin.sock", "/ready") == 200)

    def placed(self, name: str, source: Path, places: dict[str, str]) -> Path:
        """A configuration with this run's directories and ports in it."""
        text = source.read_text()
        for written, place in (places | {"18445": str(self.token_port), "18443": str(self.mcp_port)}).items():
            text = text.replace(written, place)
        path = self.run / name
        path.write_text(text)
        return path

    def agent(self, name: str) -> Agent:
        """An agent with an SVID of its own."""
        directory = self.run / name
        directory.mkdir()
        self.command("x509", "mint", "-spiffeID", f"spiffe://example.org/{name}", "-write", str(directory))
        return Agent(name, directory, self.token_port, self.mcp_port)

    def command(self, *arguments: str) -> str:
        """`portcullis …` at the admin socket."""
        command = [str(self.portcullis), *arguments, "-socketPath", str(self.run / "admin.sock")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def last_decision(self, about: str) -> dict:
        """The newest record of a decision about `about`; records are written within moments of the answer."""
        found: list[dict] = []

        def is_there() -> bool:
            lines = (self.run / "data" / "audit.jsonl").read_text().splitlines()
            records = [json.loads(line) for line in lines if line.endswith("}")]
            found[:] = [one for one in records if one["record"] == "decision" and one["resource"] == about]
            return bool(found)

        self.wait_until(f"there is a record about {about}", is_there)
        return found[-1]

    # --- processes ------------------------------------------------------------------------------------------------

    def spawn(self, name: str, command: list[str], extra: dict[str, str] | None = None) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PORTCULLIS_")}
        with (self.run / f"{name}.log").open("ab") as log:
            environment = {**inherited, **(extra or {})}
            self.processes[name] = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until(self, what: str, reached: Callable[[], bool], seconds: float = 30) -> None:
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

    def status(self, name: str, path: str) -> int:
        """What a Unix socket of this run answers to a GET."""
        connection = http.client.HTTPConnection("localhost", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.connect(str(self.run / name))
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

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
