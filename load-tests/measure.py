"""One server on one estate: how many answers a second, how long they take, and what they cost."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from processes import NotReady
from servers import Ground, Running

# Ids of things that are asked for once: each invocation of the generator has a billion of its own.
FIRST_ITEMS = count(1_000_000_000, 1_000_000_000)
TOO_SLOW = 1.0  # seconds for one answer; a proxy gives up long before
HURRIED = 0.02  # seconds for one answer, above which fewer askers make the measurement shorter and no worse


class Wrong(RuntimeError):
    """A server gave a wrong answer, so nothing that was measured counts."""


class Unfit(RuntimeError):
    """A server can't be measured; the text is what the table says in place of a number."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    sizes: tuple[int, ...]
    windows: int  # closed loop: so many times, of which the median counts
    warm_up: float
    seconds: float  # of a window
    open_seconds: float
    rates: tuple[int, ...]  # open loop, a second
    envoy_size: int
    envoy_rates: tuple[int, ...]
    hospital: tuple[int, ...]
    over_tcp: bool
    others: bool  # what others have written; it has to be installed first
    engine_seconds: float


FULL = Scale((10, 1_000, 10_000, 100_000), 3, 1.0, 4.0, 6.0, (1_000, 5_000), 1_000, (500, 2_000), (5, 50, 100, 300), True, True, 4.0)
QUICK = Scale((10, 1_000), 1, 0.5, 1.5, 2.0, (1_000,), 1_000, (500,), (5, 30), False, False, 0.5)


@dataclass(frozen=True)
class Target:
    """Whom to ask, and as whom."""

    address: str
    wire: str
    questions: Path
    pids: tuple[int, ...]
    all_allowed: bool = False
    identity: tuple[Path, str] | None = None


class Generator:
    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def ask(self, target: Target, seconds: float, warm_up: float, fresh: bool, load: list[str]) -> dict:
        command = [str(self.ground.programs["check-load"]), "--address", target.address, "--wire", target.wire]
        command += ["--questions", str(target.questions), "--seconds", str(seconds), "--warm-up", str(warm_up), *load]
        for pid in target.pids:
            command += ["--server-pid", str(pid)]
        if fresh:
            command += ["--first-item", str(next(FIRST_ITEMS))]
        if target.all_allowed:
            command += ["--all-allowed"]
        if target.identity:
            command += ["--identity", str(target.identity[0]), "--server-name", target.identity[1]]
        clients = self.ground.processors.clients
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + warm_up + 60, check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, clients),
        )  # fmt: skip
        if done.returncode not in (0, 1):
            raise Unfit(done.stderr.strip() or f"the generator ended with {done.returncode}")
        report = json.loads(done.stdout)
        if report["wrong"]:
            raise Wrong(f"{report['wrong']} wrong answers, the first: {report['first_fault']}")
        if report["errors"]:
            raise Unfit(f"{report['errors']} requests without an answer, the first: {report['first_fault'][:200]}")
        return report

    def closed(self, target: Target, scale: Scale, fresh: bool, one_takes: float) -> dict:
        """The median window by throughput."""
        load = ["--connections", "4", "--streams", "8"] if one_takes < HURRIED else ["--connections", "1", "--streams", "4"]
        seconds = min(30.0, max(scale.seconds, 10 * one_takes))
        windows = scale.windows if one_takes < HURRIED else 1
        reports = [self.ask(target, seconds, scale.warm_up, fresh, load) for _ in range(windows)]
        rates = [report["per_second"] for report in reports]
        middle = statistics.median_low(rates)
        report = next(report for report in reports if report["per_second"] == middle)
        return report | {"spread": (max(rates) - min(rates)) / middle if middle else 0.0}

    def open(self, target: Target, scale: Scale, fresh: bool, rate: float) -> dict:
        report = self.ask(target, scale.open_seconds, scale.warm_up, fresh, ["--connections", "4", "--rate", str(rate)])
        return report | {"rate": rate}


def direct(generator: Generator, running: Running, questions: Path, scale: Scale, say: Callable[[str], None]) -> dict:
    """All of one server, without an Envoy."""
    target = Target(running.address, running.wire, questions, (running.process.pid,), running.all_allowed)
    say("one at a time")
    alone = generator.ask(target, max(1.0, scale.warm_up), 0.2, True, ["--connections", "1", "--streams", "1"])
    if not alone["completed"]:
        alone = generator.ask(target, 20.0, 0.0, True, ["--connections", "1", "--streams", "1"])
    one_takes = alone["p50_us"] / 1e6
    if not alone["completed"] or one_takes > TOO_SLOW:
        raise Unfit(f"one answer takes {one_takes:.1f} s" if alone["completed"] else "no answer within 20 s")
    say("closed loop, the same requests again and again")
    repeated = generator.closed(target, scale, False, one_takes)
    say("closed loop, never the same request twice")
    fresh = generator.closed(target, scale, True, one_takes)
    opened = {}
    wanted = [(str(rate), True, float(rate)) for rate in scale.rates]
    wanted += [("half, fresh", True, fresh["per_second"] / 2), ("half, repeated", False, repeated["per_second"] / 2)]
    for name, is_fresh, rate in wanted:
        say(f"open loop, {rate:,.0f} a second")
        most = (fresh if is_fresh else repeated)["per_second"]
        if rate > 0.9 * most:
            opened[name] = {"reason": f"at most {most:,.0f} a second"}
            continue
        opened[name] = generator.open(target, scale, is_fresh, rate)
    return {
        "load_s": running.load_s,
        "alone": alone,
        "repeated": repeated,
        "fresh": fresh,
        "open": opened,
        "resident": fresh["servers"][0]["resident"],
        "resident_peak": fresh["servers"][0]["resident_peak"],
    }


def reason(error: Exception) -> str:
    """What the table says in place of a number."""
    match error:
        case Unfit() | NotReady():
            return str(error)
        case subprocess.TimeoutExpired():
            return f"no end after {error.timeout:.0f} s"
    raise error
