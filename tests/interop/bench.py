"""What a case works with: the gateway's sockets, the clients, and processes that are waited for, never slept for."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRUST_DOMAIN = "example.org"
PARENT = f"spiffe://{TRUST_DOMAIN}/node"
PATIENCE = 60.0  # seconds until something that should happen counts as not happening


class Failed(AssertionError):
    """The case did not go as it must."""


@dataclass(frozen=True)
class Output:
    """What a client that has ended printed."""

    command: str
    status: int
    stdout: str
    stderr: str

    def ok(self) -> Output:
        if self.status != 0:
            raise Failed(f"`{self.command}` ended with {self.status}: {(self.stderr or self.stdout).strip()}")
        return self

    def refused(self, *texts: str) -> Output:
        """It failed, and said each of the texts."""
        if self.status == 0:
            raise Failed(f"`{self.command}` should have failed, it printed: {self.stdout.strip()}")
        for text in texts:
            expect_in(text, self.stderr + self.stdout, f"the refusal of `{self.command}`")
        return self

    def json(self) -> Any:
        try:
            return json.loads(self.ok().stdout)
        except ValueError as error:
            raise Failed(f"`{self.command}` printed no JSON: {self.stdout.strip()}") from error


class Client:
    """A client that is still running; its standard output is followed line by line."""

    def __init__(self, command: list[str], environment: dict[str, str], is_asked: bool = False) -> None:
        self.name = Path(command[0]).name + " " + " ".join(command[1:3])
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            stdin=subprocess.PIPE if is_asked else subprocess.DEVNULL,
        )  # fmt: skip
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.errors: list[str] = []
        self.seen: list[str] = []
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self._read_output, self._read_errors)]
        for reader in self.readers:
            reader.start()

    def _read_output(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr
        self.errors.extend(self.process.stderr)

    def expect(self, text: str) -> str:
        """Waits for a line that contains the text and returns it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"{self.name} did not say `{text}` in {PATIENCE:.0f} s{self._said()}") from None
            if line is None:
                self.process.wait()
                self.readers[1].join()
                raise Failed(f"{self.name} ended with {self.process.returncode} before `{text}`{self._said()}")
            self.seen.append(line)
            if text in line:
                return line

    def latest(self, word: str) -> str:
        """What follows the word in the newest line that begins with it; nothing, if there is none yet."""
        while True:
            try:
                line = self.lines.get_nowait()
            except queue.Empty:
                break
            if line is None:
                self.process.wait()
                raise Failed(f"{self.name} ended with {self.process.returncode}{self._said()}")
            self.seen.append(line)
        return next((line.removeprefix(word).strip() for line in reversed(self.seen) if line.startswith(word)), "")

    def ask(self, line: str) -> str:
        """Gives it a line and returns the one with which it answers."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.expect("")

    def finish(self) -> None:
        """Waits for its end, which must be a good one."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end{self._said()}") from None
        self.readers[1].join()
        if status != 0:
            raise Failed(f"{self.name} ended with {status}{self._said()}")

    def _said(self) -> str:
        said = [*self.seen[-3:], *(line.rstrip() for line in self.errors[-3:])]
        return "; it said: " + " | ".join(said) if said else ""

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Bench:
    def __init__(
        self, workload: Path, admin: Path, authzen: str, authzen_tls: str, tools: dict[str, Path], scratch: Path
    ) -> None:
        self.workload = workload
        self.admin = admin
        self.authzen = f"http://{authzen}"
        self.authzen_tls = authzen_tls
        self.tools = tools
        self.scratch = scratch

    def at(self, workload: Path, admin: Path) -> Bench:
        """The same clients, at the sockets of another server."""
        return Bench(workload, admin, "", "", self.tools, self.scratch)

    # --- clients ----------------------------------------------------------------------------------------------------

    def run(self, program: str | Path, *arguments: str, stdin: str = "") -> Output:
        command = self._command(program, arguments)
        shown = " ".join([Path(command[0]).name, *arguments])
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, env=self._environment()
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"`{shown}` did not end in {PATIENCE:.0f} s") from None
        return Output(shown, done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(
        self, program: str | Path, *arguments: str, environment: dict[str, str] | None = None, is_asked: bool = False
    ) -> Iterator[Client]:
        client = Client(self._command(program, arguments), self._environment() | (environment or {}), is_asked)
        try:
            yield client
        finally:
            client.stop()

    def _command(self, program: str | Path, arguments: tuple[str, ...]) -> list[str]:
        path = self.tools[program] if isinstance(program, str) else program
        return [str(path), *arguments]

    def _environment(self) -> dict[str, str]:
        return os.environ | {"SPIFFE_ENDPOINT_SOCKET": f"unix://{self.workload}"}

    def server(self, command: str, *arguments: str, stdin: str = "") -> Output:
        """`spire-server COMMAND`, for example `entry show`, against the admin socket."""
        return self.run("spire-server", *command.split(), "-socketPath", str(self.admin), *arguments, stdin=stdin)

    def agent(self, command: str, *arguments: str) -> Output:
        """`spire-agent COMMAND`, for example `api fetch x509`, against the workload socket."""
        return self.run("spire-agent", *command.split(), "-socketPath", str(self.workload), *arguments)

    def twin(self, program: str, name: str) -> Path:
        """The program under a path of its own, so that an entry can tell it from other runs of the same program."""
        path = self.scratch / name
        path.unlink(missing_ok=True)
        original = self.tools[program].resolve()
        try:
            os.link(original, path)
        except OSError:  # another file system
            path.write_bytes(original.read_bytes())
            path.chmod(0o755)
        return path

    # --- registration -----------------------------------------------------------------------------------------------

    @contextmanager
    def entry(self, path: str, program: str | Path, *flags: str) -> Iterator[str]:
        """An entry for as long as the block lasts: whoever runs the program is `spiffe://example.org/<path>`."""
        executable = self.tools[program] if isinstance(program, str) else program
        spiffe_id = f"spiffe://{TRUST_DOMAIN}/{path}"
        made = self.server(
            "entry create", "-parentID", PARENT, "-spiffeID", spiffe_id,
            "-selector", f"unix:path:{executable}", "-output", "json", *flags,
        ).json()  # fmt: skip
        expect_equal(made["results"][0]["status"]["code"], 0, f"the status of the entry for {spiffe_id}")
        entry_id = made["results"][0]["entry"]["id"]
        try:
            yield spiffe_id
        finally:
            self.server("entry delete", "-entryID", entry_id)


def until(what: str, met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        if time.monotonic() > deadline:
            raise Failed(f"{what} did not happen in {PATIENCE:.0f} s")
        time.sleep(0.05)


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise Failed(what)


def expect_equal(got: object, wanted: object, what: str) -> None:
    if got != wanted:
        raise Failed(f"{what}: wanted {wanted!r}, got {got!r}")


def expect_in(text: str, within: str, what: str) -> None:
    if text not in within:
        raise Failed(f"{what}: no `{text}` in: {within.strip()}")
