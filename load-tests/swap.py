"""A whole new policy set while questions come: what those notice who ask, and how long the old set decides."""

from __future__ import annotations

import copy
import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import languages
from measure import Generator, Scale, Target, Unfit
from model import Estate
from servers import Ground, Running, fetched

SWAPPED_WITHIN = 120.0  # seconds
EPOCH = "portcullis_policy_epoch "


def measure(
    ground: Ground, generator: Generator, running: Running, estate: Estate, questions: Path, scale: Scale, say: Callable[[str], None]
) -> dict:
    """At half of what the server can do, one window before and as many as it takes until the new set decides."""
    target = Target(running.address, running.wire, questions, (running.process.pid,))
    say("how much it can do")
    most = generator.closed(target, scale, True, 0.0)["per_second"]
    say("open loop, before")
    before = generator.open(target, scale, True, most / 2)
    new = replacement(ground, estate)
    policies, operations = ground.home / "portcullis" / "policies", ground.home / "portcullis" / "run" / "operations.sock"
    old_epoch, began = epoch(operations), time.monotonic()
    for file in new.glob("*.cedar"):
        os.replace(file, policies / file.name)
    during = []
    while epoch(operations) == old_epoch:
        if time.monotonic() - began > SWAPPED_WITHIN:
            raise Unfit(f"the new set did not decide within {SWAPPED_WITHIN:.0f} s")
        say("open loop, while the new set is read and put in force")
        during.append(generator.open(target, scale, True, most / 2))
    worst = max(during, key=lambda report: report["p99_us"])
    return {"policies": len(estate.rules), "rate": most / 2, "before": before, "during": worst, "windows": len(during)}


def replacement(ground: Ground, estate: Estate) -> Path:
    """The same rules under other names: nothing of them is known from before, and all answers stay right."""
    renamed = copy.copy(estate)
    renamed.rules = [dataclasses.replace(rule, name=f"new-{rule.name}") for rule in estate.rules]
    directory = ground.fresh("swap") / "policies"
    languages.cedar(renamed, directory)
    return directory


def epoch(operations: Path) -> str:
    """Which load of policies decides."""
    lines = (fetched(operations, "/metrics") or "").splitlines()
    return next((line for line in lines if line.startswith(EPOCH)), "")
