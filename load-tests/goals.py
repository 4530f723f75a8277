"""What Portcullis is to reach, and by how much it does or doesn't."""

from __future__ import annotations

from dataclasses import dataclass

BASE = "always-allow"
US = "portcullis"
OPA = ("opa-indexed", "opa-naive")


@dataclass(frozen=True)
class Goal:
    """A limit, and what was found."""

    what: str
    limit: float
    found: float | None
    at_least: bool = False

    def cells(self) -> list[str]:
        wanted = f"{'≥' if self.at_least else '≤'} {self.limit:g}"
        if self.found is None:
            return [self.what, wanted, "not measured", ""]
        return [self.what, wanted, f"{self.found:,.2f}", self.verdict(self.found)]

    def verdict(self, found: float) -> str:
        met = found >= self.limit if self.at_least else found <= self.limit
        if met:
            return "met"
        return f"**missed**: {found / self.limit:,.2f} × the limit"


def all_goals(results: dict) -> list[Goal]:
    """The goals that the sizes of this run say something about."""
    sizes = [int(size) for size in results["direct"]]
    return [
        *_engine(results, sizes),
        *_processor(results, sizes),
        *_throughput(results, sizes),
        *_latency(results, sizes),
        *_growth(results, sizes),
        *_swap(results),
    ]


def _engine(results: dict, sizes: list[int]) -> list[Goal]:
    return [
        Goal(f"the engine alone, nothing remembered, mean µs, {size:,} policies", limit, _engine_mean(results, size))
        for size, limit in ((10_000, 1.0), (100_000, 2.0))
        if size in sizes
    ]


def _processor(results: dict, sizes: list[int]) -> list[Goal]:
    made = []
    for size in sizes:
        hit, miss = (_over(_cpu(results, size, US, kind), _cpu(results, size, BASE, kind)) for kind in ("repeated", "fresh"))
        made.append(Goal(f"CPU of a hit over bare tonic's, {size:,} policies", 0.8, hit))
        if size == max(sizes):
            made.append(Goal(f"CPU of a miss over bare tonic's, {size:,} policies", 1.0, miss))
    return made


def _throughput(results: dict, sizes: list[int]) -> list[Goal]:
    made = []
    for size, least in ((10, 5), (10_000, 50)):
        for key in OPA:
            if size in sizes and key in results["direct"][str(size)]:
                ours, theirs = (_found(results, size, one, "fresh", "per_second") for one in (US, key))
                what = f"answers a second over {results['titles'][key]}'s, {size:,} policies, never twice"
                made.append(Goal(what, least, _over(ours, theirs), at_least=True))
    return made


def _latency(results: dict, sizes: list[int]) -> list[Goal]:
    made = []
    for size in sizes:
        for name, words in (("half, fresh", "never twice"), ("half, repeated", "again and again")):
            p99 = _over(_found(results, size, US, "open", name, "p99_us"), 1000.0)
            made.append(Goal(f"p99 at half load, ms, {size:,} policies, {words}", 1.0, p99))
    return made


def _growth(results: dict, sizes: list[int]) -> list[Goal]:
    least, most = min(sizes), max(sizes)
    if least == most:
        return []
    miss = _over(_cpu(results, most, US, "fresh"), _cpu(results, least, US, "fresh"))
    engine = _over(_engine_mean(results, most), _engine_mean(results, least))
    return [
        Goal(f"CPU of a miss at {most:,} policies over that at {least:,}", 1.3, miss),
        Goal(f"the engine alone at {most:,} policies over {least:,}", 1.3, engine),
    ]


def _swap(results: dict) -> list[Goal]:
    found = results.get("swap") or {}
    before, during = (found.get(when, {}).get("p99_us") for when in ("before", "during"))
    return [Goal("p99 while a new policy set comes over p99 before", 2.0, _over(during, before))] if found else []


def _found(results: dict, size: int, key: str, *path: str) -> float | None:
    one = results["direct"].get(str(size), {}).get(key)
    for step in path:
        one = one.get(step) if isinstance(one, dict) else None
    return one


def _cpu(results: dict, size: int, key: str, kind: str) -> float | None:
    return _found(results, size, key, kind, "cpu_us")


def _engine_mean(results: dict, size: int) -> float | None:
    return results["engine"].get(str(size), {}).get("mean_us")


def _over(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None
