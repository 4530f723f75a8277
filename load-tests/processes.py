"""Processes that the run starts, each on its own processors, and ends by their ids."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


class NotReady(RuntimeError):
    """A server did not come up in time, or at all."""


class Processors:
    """Half of the processors for servers, the other half for who asks them, so that neither takes the other's."""

    def __init__(self) -> None:
        all_of_them = sorted(os.sched_getaffinity(0))
        half = max(1, len(all_of_them) // 2)
        self.servers = set(all_of_them[:half])
        self.clients = set(all_of_them[half:]) or self.servers
        self.apart = self.servers != self.clients


class Process:
    """One server."""

    def __init__(self, name: str, command: list[str], log: Path, processors: set[int], extra: dict[str, str]) -> None:
        self.name = name
        self.log = log
        # A setting of whoever runs this must not reach a server that is measured.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PORTCULLIS_", "OPA_", "CERBOS_", "GO"))}
        with log.open("wb") as file:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=inherited | extra, cwd=log.parent,
                preexec_fn=lambda: os.sched_setaffinity(0, processors),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> float:
        """Waits for `ready`; returns how long that took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.popen.poll() is not None:
                raise NotReady(f"{self.name} ended with {self.popen.returncode}: {self.last_words()}")
            try:
                if ready():
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.05)
        raise NotReady(f"not ready after {seconds:.0f} s")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def stop(self) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


def listens(address: str) -> bool:
    """Whether somebody accepts connections there."""
    kind, _, where = address.partition(":")
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(2)
            one.connect(where)
    else:
        host, _, port = where.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=2):
            pass
    return True


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
