#!/usr/bin/env python3
"""`make interop`: real SPIFFE clients against one Portcullis. Exit code 0 only if no tool is absent and every case passes."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench import Bench, Failed
from cases import CASES, Case
from gateway import Gateway
from tools import SYSTEM_TOOLS, TOOLS, ToolAbsent


@dataclass(frozen=True)
class Result:
    case: Case
    seconds: float
    failure: str  # empty if it passed


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cases = [case for case in CASES if not options.only or any(word in case.name for word in options.only)]
    tools, absent = install({"spire-server"}.union(*(case.programs for case in cases)))
    tools["portcullis"] = options.portcullis.resolve()
    for name, why in absent.items():
        print(f"ABSENT  {name}: {why}", flush=True)
    if options.install:
        return 1 if absent else 0
    if "spire-server" in absent:
        print("no case can run without spire-server, which makes the entries", file=sys.stderr)
        return 1
    gateway = Gateway(options.portcullis.resolve())
    try:
        gateway.start()
        scratch = gateway.home / "scratch"
        scratch.mkdir()
        bench = Bench(gateway.workload, gateway.admin, gateway.authzen, f"https://localhost:{gateway.tls}", tools, scratch)
        results = [run(case, bench, gateway) for case in cases if case.programs <= tools.keys()]
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        gateway.stop()
    failed = sum(bool(result.failure) for result in results)
    left_out = len(cases) - len(results)
    passed = len(results) - failed
    print(f"\n{passed} of {len(cases)} cases passed, {failed} failed, {left_out} not run, {len(absent)} tools absent")
    return 1 if failed or left_out or absent or not cases else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portcullis", type=Path, required=True, help="the gateway's binary")
    parser.add_argument("--install", action="store_true", help="only build the clients")
    parser.add_argument("only", nargs="*", help="run only cases whose name contains one of these words")
    return parser.parse_args()


def install(names: set[str]) -> tuple[dict[str, Path], dict[str, str]]:
    found: dict[str, Path] = {}
    absent: dict[str, str] = {}
    for name, tool in TOOLS.items():
        if name not in names:
            continue
        if not tool.path().exists():
            print(f"· building {name} {tool.version}", flush=True)
        try:
            found[name] = tool.installed()
        except ToolAbsent as error:
            absent[name] = str(error)
    for name, tool in SYSTEM_TOOLS.items():
        if name not in names:
            continue
        try:
            found[name] = tool.installed()
        except ToolAbsent as error:
            absent[name] = str(error)
    return found, absent


def run(case: Case, bench: Bench, gateway: Gateway) -> Result:
    started = time.monotonic()
    failure = ""
    try:
        case.check(bench)
    except Failed as error:
        failure = str(error)
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        failure = f"an answer of another shape: {error!r}"  # what a case read out of it isn't there
    if not gateway.alive():
        raise RuntimeError(f"portcullis died in `{case.name}`:\n{gateway.last_words()}")
    seconds = time.monotonic() - started
    client = f"{case.client} {TOOLS[case.client].version}" if case.client in TOOLS else case.client
    print(f"{'FAIL' if failure else 'ok':4}  {seconds:6.1f} s  {client:26}  {case.name}", flush=True)
    for line in failure.splitlines():
        print(f"      {line}", flush=True)
    return Result(case, seconds, failure)


if __name__ == "__main__":
    sys.exit(main())
