"""Logs of `crates/tlog`, checked by what Go's checksum database and transparency-dev have published."""

from __future__ import annotations

from pathlib import Path

from bench import Bench, expect_in
from cases.case import Case

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


CASES = (
    Case("a log, its cosignatures, its growth and its proofs", "tlog", verified, needs=("write-log",)),
    Case("a log in which one bit was changed", "tlog", tampered, needs=("write-log",)),
)
