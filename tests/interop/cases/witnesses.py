"""Our log, cosigned by a witness that others have published and run as it is; and theirs, cosigned by us."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import Bench, expect_in, until
from cases.case import Case
from gateway import Gateway, free_port

NAME = "witness.example/litewitness"
# The type of an Ed25519 key that cosigns (C2SP signed-note, "Signature types").
COSIGNS = b"\x04"
EMPTY = base64.b64encode(hashlib.sha256(b"").digest()).decode()


@contextmanager
def agent_with_key(bench: Bench, home: Path) -> Iterator[tuple[Path, str, str]]:
    """An ssh-agent with a new key: its socket, the key's fingerprint, and what verifies cosignatures by it."""
    key, socket = home / "key", home / "agent.sock"
    bench.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)).ok()
    fingerprint = bench.run("ssh-keygen", "-l", "-f", str(key)).ok().stdout.split()[1]
    blob = base64.b64decode((home / "key.pub").read_text().split()[1])
    typed = COSIGNS + blob[-32:]
    key_id = hashlib.sha256(NAME.encode() + b"\n" + typed).digest()[:4].hex()
    verifier = f"{NAME}+{key_id}+{base64.b64encode(typed).decode()}"
    with bench.running("ssh-agent", "-D", "-a", str(socket)):
        until("the agent listens", socket.exists)
        added = subprocess.run(
            [bench.tools["ssh-add"], "-q", str(key)], env={"SSH_AUTH_SOCK": str(socket)}, capture_output=True, text=True
        )
        if added.returncode:
            raise ValueError(added.stderr)
        yield socket, fingerprint, verifier


def knows(database: Path, origin: str, key: str) -> None:
    """What `witnessctl` does, which has a dependency that can't be had everywhere."""
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", (origin, EMPTY))
        connection.execute("INSERT INTO key (origin, key) VALUES (?, ?)", (origin, key))
    connection.close()


def cosigned(bench: Bench) -> None:
    home = Path(bench.scratch) / "litewitness"
    home.mkdir()
    gateway = Gateway(bench.tools["portcullis"])
    log = gateway.home / "data" / "log"
    database, port = home / "witness.db", free_port()
    try:
        with agent_with_key(bench, home) as (socket, fingerprint, key):
            address = f"127.0.0.1:{port}"
            arguments = ["-db", str(database), "-name", NAME, "-key", fingerprint, "-ssh-agent", str(socket)]
            with bench.running("litewitness", *arguments, "-listen", address):
                until("its database is there", lambda: is_there(database))
                witness = [{"url": f"http://{address}", "keys": [key]}]
                gateway.start({"PORTCULLIS_AUDIT__WITNESSES__OF": json.dumps(witness)})
                until("the log has its key", (log / "verifier").exists)
                ours = (log / "verifier").read_text().strip()
                origin = ours.split("+")[0]
                # From here on it knows the log; until then it says 404, and is asked again.
                knows(database, origin, ours)
                until("a checkpoint is cosigned", (log / "checkpoint.witnessed").exists)
                for _ in range(3):
                    bench.run("portcullis", "audit", "verify", "--log", str(log)).ok()
                policy = home / "policy"
                policy.write_text(f"log {ours}\nwitness lite {key}\nquorum lite\n")
                verify = ["audit", "verify", "--log", str(log), "--trust-policy", str(policy)]
                expect_in(origin, bench.run("portcullis", *verify).ok().stdout, "the verified log")
                copied = home / "log"
                copied.mkdir()
                shutil.copy(log / "checkpoint.witnessed", copied / "checkpoint")
                shutil.copytree(log / "tile", copied / "tile")
                said = bench.run("tlog", str(copied), origin, ours, key).ok().stdout
                expect_in("signed by 2 keys\n", said, "the signatures")
    finally:
        gateway.stop()


def cosigns(bench: Bench) -> None:
    """Tessera publishes no checkpoint that is not cosigned, and checks our cosignatures."""
    private, public = bench.run("tessera", "key", "log.example/tessera").ok().stdout.split()
    gateway, address = Gateway(bench.tools["portcullis"]), f"127.0.0.1:{free_port()}"
    settings = {
        "PORTCULLIS_LISTEN__WITNESS": f"tcp:{address}",
        "PORTCULLIS_AUDIT__WITNESS__LOGS": json.dumps([public]),
    }
    try:
        gateway.start(settings)
        key = (gateway.home / "data" / "witness" / "verifier").read_text().strip()
        log = Path(bench.scratch) / "log-of-tessera"
        said = bench.run("tessera", "grow", str(log), private, f"http://{address}", key).ok().stdout
        expect_in("published 5 with 2 signatures\n", said, "the last checkpoint")
        said = bench.run("tlog", str(log), "log.example/tessera", public, key).ok().stdout
        expect_in("signed by 2 keys\n", said, "the signatures")
    finally:
        gateway.stop()


def is_there(database: Path) -> bool:
    if not database.exists():
        return False
    connection = sqlite3.connect(database)
    try:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'key'").fetchall()
    finally:
        connection.close()
    return bool(tables)


CASES = (
    Case("the log of another, cosigned by a gateway", "tessera", cosigns, needs=("portcullis", "tlog")),
    Case(
        "the log of a gateway, cosigned by another's witness", "litewitness", cosigned,
        needs=("portcullis", "tlog", "ssh-agent", "ssh-add", "ssh-keygen"),
    ),
)  # fmt: skip
