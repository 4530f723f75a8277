"""Logs of `crates/tlog`, checked by what Go's checksum database and transparency-dev have published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench import Bench, expect_equal, expect_in, until
from cases.case import Case

AUTHZEN = str(Path(__file__).resolve().parent.parent / "authzen" / "client.py")
ORIGIN = "log.example/portcullis"
# An empty log, one entry, partial and full tiles, and tiles of three levels, each step going on from the one before.
SIZES = (0, 1, 200, 256, 300, 70_000)
# What is changed, and what the refusal must say.
TAMPERED = {
    "checkpoint": "checkpoint: ",
    "tile/0/000": "inconsistent tile",
    "tile/1/001.p/17": "inconsistent tile",
    "tile/2/000.p/1": "inconsistent tile",
    "tile/entries/273.p/112": "entry",
    "history/200": "history/200: ",
    "proofs/35000.tlog-proof": "proofs/35000.tlog-proof: ",
}


def write(bench: Bench, *sizes: int) -> tuple[Path, list[str]]:
    """A new log that has grown to each size in turn, and the keys that verify it, the log's own first."""
    log = bench.scratch / "log-{}".format("-".join(map(str, sizes)))
    said = bench.run("write-log", str(log), *map(str, sizes)).ok().stdout
    return log, [line.split()[1] for line in said.splitlines() if line.startswith(("log ", "witness "))]


def verified(bench: Bench) -> None:
    log, keys = write(bench, *SIZES)
    said = bench.run("tlog", str(log), ORIGIN, *keys).ok().stdout
    expect_in(f"checkpoint {ORIGIN} 70000 ", said, "the checkpoint")
    expect_in("signed by 3 keys\n", said, "the signatures")
    expect_in("entries 70000 in 274 bundles are those in the tree\n", said, "the entries")
    expect_in("tiles 277 are what the entries make\n", said, "the tiles")
    for size in SIZES:
        expect_in(f"consistent 70000 with {size}\n", said, "the earlier checkpoints")
    for index in (0, 23_333, 35_000, 69_999):
        expect_in(f"proof of {index} in 70000\n", said, "the proofs")


def tampered(bench: Bench) -> None:
    log, keys = write(bench, 200, 70_000)
    for name, reason in TAMPERED.items():
        file = log / name
        whole = file.read_bytes()
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        bench.run("tlog", str(log), ORIGIN, *keys).refused(reason)
        file.write_bytes(whole)
    other = f"{ORIGIN}/2"
    bench.run("tlog", str(log), other, *keys).refused("expected")
    bench.run("tlog", str(log), ORIGIN, *keys).ok()


def of_the_gateway(bench: Bench) -> None:
    """The log of the gateway that all cases run against, with the receipt of one of its decisions."""
    log = bench.workload.parent.parent / "data" / "log"
    key = (log / "verifier").read_text().strip()
    origin = key.split("+")[0]
    answer = bench.run("authzen-clients", AUTHZEN, "decern", bench.authzen).ok().stdout
    expect_in("True", answer, "the answer")
    receipt, decision = bench.scratch / "receipt", ""

    def is_there() -> bool:
        nonlocal decision
        lines = (log.parent / "audit.jsonl").read_text().splitlines()
        decisions = [record["decision_id"] for record in map(json.loads, lines) if record["record"] == "decision"]
        decision = decisions[-1] if decisions else ""
        arguments = ["audit", "receipt", decision, "--log", str(log), "--output", str(receipt)]
        return bool(decisions) and bench.run("portcullis", *arguments).status == 0

    until("the receipt of a decision", is_there)
    proved = bench.run("portcullis", "audit", "verify-receipt", str(receipt), "--key", key).json()
    expect_equal(proved["record"]["decision_id"], decision, "the decision that is proved")
    copied = bench.scratch / "log-of-the-gateway"
    (copied / "proofs").mkdir(parents=True)
    shutil.copy(receipt, copied / "proofs" / "receipt.tlog-proof")
    shutil.copy(log / "checkpoint", copied / "checkpoint")
    shutil.copytree(log / "tile", copied / "tile")
    said = bench.run("tlog", str(copied), origin, key).ok().stdout
    expect_in(f"checkpoint {origin} ", said, "the checkpoint")
    expect_in(f"proof of {proved['index']} in ", said, "the proof")


CASES = (
    Case("the log of the gateway, and the receipt of a decision", "tlog", of_the_gateway, needs=("portcullis", "authzen-clients")),
    Case("a log, its cosignatures, its growth and its proofs", "tlog", verified, needs=("write-log",)),
    Case("a log in which one bit was changed", "tlog", tampered, needs=("write-log",)),
)
