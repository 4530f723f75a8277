"""The one Portcullis under test, in a directory that goes away with it."""

from __future__ import annotations

import http.client
import os
import platform
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PATIENCE = 30.0  # seconds
VOUCHING_KERNEL = (6, 5)  # docs/operations.md, "Kernel versions"


class Gateway:
    def __init__(self, portcullis: Path) -> None:
        self.portcullis = portcullis
        # Under /tmp because a socket's path must be short.
        self.home = Path(tempfile.mkdtemp(prefix="portcullis-interop-", dir="/tmp"))
        self.workload = self.home / "run" / "workload.sock"
        self.admin = self.home / "run" / "admin.sock"
        # Their clients know no Unix sockets.
        self.authzen = f"127.0.0.1:{free_port()}"
        self.tls = free_port()  # AuthZEN again, encrypted
        self.log = self.home / "portcullis.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, settings: dict[str, str] | None = None, policies: dict[str, str] | None = None) -> None:
        """`settings` are variables of the environment, `policies` files beside those of the quick start."""
        if not self.portcullis.is_file():
            raise RuntimeError(f"no Portcullis at {self.portcullis}")
        shutil.copyfile(HERE / "portcullis.yaml", self.home / "portcullis.yaml")
        shutil.copytree(ROOT / "policies" / "quickstart", self.home / "policies")
        for name, text in (policies or {}).items():
            (self.home / "policies" / name).write_text(text)
        (self.home / "run").mkdir()
        environment = dict(os.environ) | {
            "PORTCULLIS_LISTEN__AUTHZEN": f"['tcp:{self.authzen}', 'tls:127.0.0.1:{self.tls}']",
            "PORTCULLIS_AUTHZEN__IDENTIFIER": f"https://localhost:{self.tls}",
        } | (settings or {})
        if kernel() < VOUCHING_KERNEL:
            environment["PORTCULLIS_IDENTITY__ATTEST_BY_PID_LOOKUP"] = "true"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(self.portcullis), "serve", "-c", str(self.home / "portcullis.yaml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not (self.ready() and self.workload.exists() and self.admin.exists()):
            if self.process.poll() is not None:
                raise RuntimeError(f"portcullis ended with {self.process.returncode}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"portcullis is not ready after {PATIENCE:.0f} s:\n{self.last_words()}")
            time.sleep(0.05)

    def ready(self) -> bool:
        connection = http.client.HTTPConnection("localhost", timeout=2)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(2)
            connection.sock.connect(str(self.home / "run" / "operations.sock"))
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def last_words(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kernel() -> tuple[int, int]:
    numbers = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
