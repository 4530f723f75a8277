#!/usr/bin/env python3
"""`make load`: Portcullis beside its peers, on the same policies and requests, in the same run.

Everything runs on this machine, over Unix sockets and loopback. Exit code 0 only if no server gave a wrong answer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import chart
import envoys
import languages
import measure
import report
import servers
import swap
from measure import FULL, QUICK, Generator, Scale, Unfit, Wrong
from model import Estate
from processes import NotReady, Processors
from servers import Ground, Server
from tools import CERBOS, OPA, ToolAbsent

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BEGIN, END = "<!-- load-tests: begin -->", "<!-- load-tests: end -->"
ENGINE_WITHIN = 300.0  # seconds, loading included
FAILURES = (Unfit, NotReady, subprocess.TimeoutExpired)


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.render:
        publish(json.loads(options.render.read_text()), options)
        return 0
    run = Run(options)
    try:
        run.all()
        run.keep()
    except (Wrong, RuntimeError, OSError) as error:
        print(f"the run is void: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        run.end()
    publish(run.results, options)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release", help="where portcullis, check-load, load-peer and engine-load are")
    parser.add_argument("--envoy", type=Path, help="Envoy's binary; without it nothing is measured end to end")
    parser.add_argument("--quick", action="store_true", help="some two minutes, 10 and 1,000 policies, nothing to install: shows that all works")
    parser.add_argument("--only", nargs="*", default=[], help="only servers whose key contains one of these words; `envoy`, `engine` and `swap` are keys too")
    parser.add_argument("--sizes", type=int, nargs="*", help="other numbers of policies, each a multiple of 10")
    parser.add_argument("--results", type=Path, default=ROOT / "target" / "load-tests" / "results.json", help="where the raw figures go")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md and docs/performance.svg")
    parser.add_argument("--render", type=Path, help="measure nothing; make tables and chart of these raw figures")
    return parser.parse_args()


class Run:
    """One run, and what it has found so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.scale: Scale = QUICK if options.quick else FULL
        self.sizes = tuple(options.sizes or self.scale.sizes)
        # Under /tmp because a socket's path must be short.
        self.home = Path(tempfile.mkdtemp(prefix="portcullis-load-", dir="/tmp"))
        self.programs = {name: options.bin.resolve() / name for name in ("portcullis", "check-load", "load-peer", "engine-load")}
        self.ground = Ground(self.home, self.programs, Processors())
        self.generator = Generator(self.ground)
        self.began = time.monotonic()
        self.steps_done = 0
        self.results = {
            "command": "make load-quick" if options.quick else "make load",
            "quick": options.quick,
            "debug": options.bin.name == "debug",
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "commit": commit(),
            "machine": machine(self.ground.processors),
            "versions": [],
            "absent": {},
            "sizes": [str(size) for size in self.sizes],
            "envoy_size": self.scale.envoy_size,
            "titles": {one.key: one.title for one in servers.SERVERS + servers.OVER_TCP}
            | {f"envoy {one.key}": one.title for one in envoys.VARIANTS},
            "direct": {},
            "engine": {},
            "hospital": [],
        }

    def all(self) -> None:
        for name, program in self.programs.items():
            if not os.access(program, os.X_OK):
                raise RuntimeError(f"no {name} at {program}: `make load` builds it")
        self.install()
        chosen = [one for one in servers.SERVERS if self.wanted(one)]
        tcp = [one for one in servers.OVER_TCP if self.scale.over_tcp and self.wanted(one)]
        through_envoy, engine = "envoy" in self.programs and self.named("envoy"), self.named("engine")
        variants = [one for one in envoys.VARIANTS if through_envoy and self.can(one.server)]
        self.steps = len(self.sizes) * (len(chosen) + engine) + self.named("swap") + len(tcp) + len(variants) + engine
        for size in self.sizes:
            self.keep()
            found = self.results["direct"].setdefault(str(size), {})
            estate, questions = self.estate(size)
            for server in chosen:
                found[server.key] = self.direct(server, estate, questions, f"{size:,} policies")
            if engine:
                self.results["engine"][str(size)] = self.engine(estate, questions)
        swapped = max(self.sizes) if self.named("swap") else None
        if swapped:
            self.results["swap"] = self.swap(swapped)
        if tcp:
            estate, questions = self.estate(self.scale.envoy_size)
            self.results["tcp"] = {one.key: self.direct(one, estate, questions, "over TCP") for one in tcp}
        if variants:
            self.end_to_end(variants)
        if engine:
            self.hospital()

    def install(self) -> None:
        for tool, name in ((OPA, "opa"), (CERBOS, "cerbos")):
            if not self.scale.others and name not in self.options.only:
                self.results["absent"][tool.name] = "this run is a quick one"
                continue
            self.say(f"looking for {tool.name} {tool.version}")
            try:
                self.programs[name], origin = tool.installed()
                self.results["versions"].append(f"{version(tool.name, self.programs[name])} ({origin})")
            except ToolAbsent as error:
                self.results["absent"][f"{tool.name} {tool.version}"] = str(error)
                self.say(f"{tool.name} is left out: {error} {error.detail}".strip())
        if self.options.envoy:
            self.programs["envoy"] = self.options.envoy.resolve()
            self.results["versions"].append(version("Envoy", self.programs["envoy"]))
        else:
            self.results["absent"]["Envoy"] = "no --envoy was given"
        lock = (ROOT / "Cargo.lock").read_text().split("[[package]]")
        for crate in ("tonic", "cedar-policy"):
            entry = next(one for one in lock if f'name = "{crate}"\n' in one)
            number = entry.split('version = "')[1].split('"')[0]
            self.results["versions"].append(f"{crate} {number}")

    def wanted(self, server: Server) -> bool:
        return self.named(server.key) and self.can(server.key)

    def named(self, key: str) -> bool:
        return not self.options.only or any(word in key for word in self.options.only)

    def can(self, key: str | None) -> bool:
        needed = "opa" if key and key.startswith("opa") else "cerbos" if key == "cerbos" else "portcullis"
        return needed in self.programs

    def estate(self, size: int) -> tuple[Estate, Path]:
        """An estate, with certificates for all who ask: they are minted by Portcullis itself."""
        self.say(f"{size:,} policies: making certificates for those who ask")
        estate, smallest = Estate(size), Estate(10)
        running = servers.portcullis(self.ground, smallest)
        try:
            certificates = servers.mint(self.ground, estate.askers())
            envoys.identities(self.ground, estate)
        finally:
            running.stop()
        questions = self.home / f"questions-{size}.json"
        allowed = estate.write_questions(questions, certificates)
        self.say(f"{size:,} policies: {len(estate.questions)} questions, {allowed} of them allowed")
        return estate, questions

    def direct(self, server: Server, estate: Estate, questions: Path, where: str) -> dict:
        self.steps_done += 1
        self.say(f"{where}, {server.title}: starting")
        try:
            running = server.start(self.ground, estate)
        except FAILURES as error:
            return self.unfit(error)
        try:
            return measure.direct(
                self.generator, running, questions, self.scale, lambda what: self.say(f"{where}, {server.title}: {what}")
            )
        except FAILURES as error:
            return self.unfit(error)
        finally:
            running.stop()

    def swap(self, size: int) -> dict:
        self.steps_done += 1
        say = lambda what: self.say(f"{size:,} policies, a new set: {what}")  # noqa: E731
        estate, questions = self.estate(size)
        running = servers.portcullis(self.ground, estate)
        try:
            return swap.measure(self.ground, self.generator, running, estate, questions, self.scale, say)
        except FAILURES as error:
            return self.unfit(error)
        finally:
            running.stop()

    def end_to_end(self, variants: list[envoys.Variant]) -> None:
        found = self.results["envoy"] = {}
        estate, _ = self.estate(self.scale.envoy_size)
        for variant in variants:
            self.steps_done += 1
            say = lambda what, variant=variant: self.say(f"Envoy {variant.title}: {what}")  # noqa: E731
            try:
                found[variant.key] = envoys.measure(self.ground, self.generator, estate, variant, self.scale, say)
            except FAILURES as error:
                found[variant.key] = self.unfit(error)

    def engine(self, estate: Estate, questions: Path) -> dict:
        self.steps_done += 1
        self.say(f"{len(estate.rules):,} policies: the engine alone")
        policies = self.ground.fresh("engine") / "policies"
        languages.cedar(estate, policies)
        try:
            return self.ask_engine("estate", "--policies", policies, "--questions", questions)[0]
        except FAILURES as error:
            return self.unfit(error)

    def hospital(self) -> None:
        self.steps_done += 1
        self.say("SAPL's hospital: engines alone")
        scratch = self.ground.fresh("hospital")
        for departments in self.scale.hospital:
            try:
                self.results["hospital"] += self.ask_engine("hospital", "--scratch", scratch, departments)
            except FAILURES as error:
                self.results["hospital"].append(self.unfit(error))

    def ask_engine(self, *words: object) -> list[dict]:
        command = [self.programs["engine-load"], "--seconds", self.scale.engine_seconds, *words]
        processors = self.ground.processors.servers
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=ENGINE_WITHIN, check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, processors),
        )  # fmt: skip
        if done.returncode != 0:
            raise Wrong(done.stderr.strip())
        return [json.loads(line) for line in done.stdout.splitlines()]

    def unfit(self, error: Exception) -> dict:
        why = measure.reason(error)
        self.say(f"no figure: {why}")
        return {"reason": why}

    def say(self, what: str) -> None:
        passed = int(time.monotonic() - self.began)
        steps = f"{self.steps_done}/{self.steps}" if hasattr(self, "steps") else "–"
        print(f"· {passed // 60:02}:{passed % 60:02}  {steps}  {what}", flush=True)

    def keep(self) -> None:
        """Writes the raw figures so far, so that a run that is cut off leaves them."""
        self.options.results.parent.mkdir(parents=True, exist_ok=True)
        self.options.results.write_text(json.dumps(self.results, indent=1))

    def end(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)


def publish(results: dict, options: argparse.Namespace) -> None:
    """Prints the tables and, if asked to, puts them into the documentation."""
    text = report.document(results)
    print("\n" + report.for_terminal(text))
    drawn = chart.svg(results)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.with_suffix(".svg").write_text(drawn)
    if options.docs:
        page = ROOT / "docs" / "performance.md"
        before, _, rest = page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
        (ROOT / "docs" / "performance.svg").write_text(drawn)


def machine(processors: Processors) -> dict:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "?")
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "processors": model,
        "cores": os.cpu_count(),
        "memory_gb": int(memory.split()[1]) / 1e6,
        "kernel": platform.release().split("-")[0],
        "load_average": os.getloadavg()[0],
        "apart": processors.apart,
    }


def commit() -> str:
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def version(name: str, program: Path) -> str:
    """What a program says of itself."""
    asked = "version" if name.startswith("opa") else "--version"
    said = subprocess.run([str(program), asked], capture_output=True, text=True, timeout=60, check=False)
    line = next((line for line in (said.stdout + said.stderr).splitlines() if any(c.isdigit() for c in line)), "")
    if name == "Envoy":
        return "Envoy " + next((part for part in line.split("/") if part.count(".") == 2 and part[0].isdigit()), line)
    return f"{name} {line.split(':')[-1].strip()}"


if __name__ == "__main__":
    sys.exit(main())
