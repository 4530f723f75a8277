"""What others have written, as released: installed once and kept by version under ~/.cache/portcullis/load/."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CACHE = Path.home() / ".cache" / "portcullis" / "load"
TIMEOUT = 1800.0  # seconds; OPA takes minutes when nothing is cached


class ToolAbsent(RuntimeError):
    """A program can't be had on this machine; the text says why, `detail` in the words of who refused."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(why)
        self.detail = detail


@dataclass(frozen=True)
class Tool:
    """A program, its version, and how its directory is filled. A variable of the environment may name another one."""

    name: str
    version: str
    program: str  # inside its directory
    variable: str
    install: Callable[[str, Path], None]

    def installed(self) -> tuple[Path, str]:
        """The program and where it is from, installed now if it isn't there yet."""
        named = os.environ.get(self.variable)
        if named:
            if not os.access(named, os.X_OK):
                raise ToolAbsent(f"{self.variable} names {named}, which can't be run")
            return Path(named), f"named by {self.variable}"
        home = CACHE / f"{self.name}-{self.version}"
        if not (home / self.program).exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=CACHE) as partial:
                made = Path(partial) / "made"
                made.mkdir()
                self.install(self.version, made)
                if not (made / self.program).exists():
                    raise ToolAbsent(f"{self.name} {self.version}: the installation left no {self.program}")
                shutil.rmtree(home, ignore_errors=True)
                made.rename(home)
        return home / self.program, f"{self.version} as released"


def go_install(package: str) -> Callable[[str, Path], None]:
    def install(version: str, home: Path) -> None:
        run(["go", "install", f"{package}@{version}"], home, {"GOBIN": str(home), "GOWORK": "off"})

    return install


def npm_install(package: str) -> Callable[[str, Path], None]:
    def install(version: str, home: Path) -> None:
        run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home), f"{package}@{version}"], home, {})

    return install


def run(command: list[str], where: Path, extra: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=where, capture_output=True, text=True, timeout=TIMEOUT, env=os.environ | extra
        )
    except FileNotFoundError as error:
        raise ToolAbsent(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ToolAbsent(f"`{' '.join(command[:2])}` took longer than {TIMEOUT:.0f} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ToolAbsent(f"`{' '.join(command[:2])}` can't get it here", last)


OPA = Tool(
    "opa-envoy-plugin", "v1.13.0-envoy", "opa-envoy-plugin", "OPA_ENVOY_PLUGIN",
    go_install("github.com/open-policy-agent/opa-envoy-plugin/cmd/opa-envoy-plugin"),
)  # fmt: skip
CERBOS = Tool(
    "cerbos", "0.55.0", "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64", "CERBOS",
    npm_install("@cerbos/cerbos-linux-x64"),
)  # fmt: skip
