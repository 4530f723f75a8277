"""Where the clients come from: each is built from what is pinned here and kept under ~/.cache/portcullis/interop/."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "portcullis" / "interop"
BUILD_TIMEOUT = 1800.0  # seconds; SPIRE takes minutes when nothing is cached


class ToolAbsent(RuntimeError):
    """A client can't be had on this machine; the text says which and why."""


@dataclass(frozen=True)
class Tool:
    """A client, its version, and how its directory is filled.

    A change of any file in `source` makes another directory, so nothing stale is ever run.
    """

    name: str
    version: str
    source: Path
    program: str  # inside its directory
    build: Callable[[Path, Path], None]  # from the source into a directory

    def path(self) -> Path:
        digest = hashlib.sha256()
        for file in sorted(p for p in self.source.rglob("*") if p.is_file() and "target" not in p.parts):
            digest.update(file.read_bytes())
        return CACHE / f"{self.name}-{self.version}-{digest.hexdigest()[:8]}" / self.program

    def installed(self) -> Path:
        """The program's path, built now if it isn't there yet."""
        program = self.path()
        if program.exists():
            return program
        home = program.parents[len(Path(self.program).parts) - 1]
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=CACHE) as partial:
            made = Path(partial) / "made"
            made.mkdir()
            self.build(self.source, made)
            shutil.rmtree(home, ignore_errors=True)
            made.rename(home)
        if not program.exists():
            raise ToolAbsent(f"{self.name} {self.version}: the build left no {self.program}")
        return program


def go(package: str, program: str) -> Callable[[Path, Path], None]:
    def build(source: Path, home: Path) -> None:
        run(["go", "build", "-mod=readonly", "-buildvcs=false", "-o", str(home / program), package], source)

    return build


@dataclass(frozen=True)
class SystemTool:
    """A program that the machine must have."""

    name: str
    purpose: str

    def installed(self) -> Path:
        found = shutil.which(self.name)
        if found is None:
            raise ToolAbsent(f"`{self.name}` is not installed; {self.purpose}")
        return Path(found)


def cargo(*what: str) -> Callable[[Path, Path], None]:
    def build(source: Path, home: Path) -> None:
        target = str(CACHE / "cargo-target")
        run(["cargo", "install", "--locked", "--path", ".", *what, "--root", str(home), "--target-dir", target], source)

    return build


def venv(source: Path, home: Path) -> None:
    # Copies, not links: the interpreter's own path is what an entry's `unix:path` names.
    run([sys.executable, "-m", "venv", "--copies", str(home)], source)
    pip = [str(home / "bin" / "python3"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--only-binary", ":all:", "-r", "requirements.txt"], source)


def run(command: list[str], where: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=where, capture_output=True, text=True, timeout=BUILD_TIMEOUT, env=os.environ | {"GOWORK": "off"}
        )
    except FileNotFoundError as error:
        raise ToolAbsent(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ToolAbsent(f"`{' '.join(command)}` took longer than {BUILD_TIMEOUT:.0f} s") from error
    if done.returncode != 0:
        raise ToolAbsent(f"`{' '.join(command)}` failed:\n{done.stderr.strip()}")


GO = HERE / "go"
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("spire-agent", "1.15.3", GO / "spire", "spire-agent", go("github.com/spiffe/spire/cmd/spire-agent", "spire-agent")),
        Tool("spire-server", "1.15.3", GO / "spire", "spire-server", go("./spire-server", "spire-server")),
        Tool("go-spiffe", "2.8.1", GO / "go-spiffe", "go-spiffe", go(".", "go-spiffe")),
        Tool("controller-manager", "0.6.4", GO / "controller-manager", "controller-manager", go(".", "controller-manager")),
        Tool(
            "spiffe-helper", "0.11.0", GO / "spiffe-helper", "spiffe-helper",
            go("github.com/spiffe/spiffe-helper/cmd/spiffe-helper", "spiffe-helper"),
        ),
        Tool("grpcurl", "1.9.3", GO / "grpcurl", "grpcurl", go("github.com/fullstorydev/grpcurl/cmd/grpcurl", "grpcurl")),
        Tool("py-spiffe", "0.3.2", HERE / "python", "bin/python3", venv),
        Tool("authzen-clients", "1", HERE / "authzen", "bin/python3", venv),
        Tool("collector", "1", HERE / "exports", "bin/python3", venv),
        Tool("authzen-rs", "0.2.2", HERE / "authzen-rs", "bin/portcullis-interop-authzen-rs", cargo()),
        Tool("rust-spiffe", "0.19.0", HERE / "rust", "bin/portcullis-interop-rust-spiffe", cargo()),
        Tool("tlog", "0.42.0", GO / "tlog", "tlog", go(".", "tlog")),
        Tool(
            "litewitness", "0.9.0", GO / "litewitness", "litewitness",
            go("filippo.io/torchwood/cmd/litewitness", "litewitness"),
        ),
        Tool("tessera", "1.0.4", GO / "tessera", "tessera", go(".", "tessera")),
        Tool("write-log", "0.1.0", HERE.parents[1] / "crates" / "tlog", "bin/write_log", cargo("--example", "write_log")),
    )
}  # fmt: skip
SYSTEM_TOOLS = {
    tool.name: tool
    for tool in (
        SystemTool("openssl", "it makes the authorities of other trust domains"),
        SystemTool("ssh-agent", "it holds the key of litewitness"),
        SystemTool("ssh-add", "it gives the key to the agent"),
        SystemTool("ssh-keygen", "it makes the key of litewitness"),
    )
}
