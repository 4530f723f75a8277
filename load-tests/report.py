"""What was found, as tables: for the terminal and, the same, for docs/performance.md."""

from __future__ import annotations

from goals import BASE, all_goals

BUSY = 0.9  # of its processor: then it may be the generator that was measured
LONGEST_CELL = 90


def document(results: dict) -> str:
    """The section of docs/performance.md."""
    machine = results["machine"]
    lines = [
        "## Side by side under load",
        "",
        f"`{results['command']}`, {results['date']}, commit {results['commit']}, on {machine['processors']} "
        f"({machine['cores']} cores, {machine['memory_gb']:.0f} GB, Linux {machine['kernel']}). {pinning(machine)} "
        f"The load average of the machine when it began was {machine['load_average']:.2f}"
        + (": **somebody else was at work too, so the figures are rough.**" if machine["load_average"] > 0.5 else "."),
        "",
    ]
    if results["quick"]:
        lines += ["**A quick run: a second or two for each figure. It shows that all works, not how fast it is.**", ""]
    if results["debug"]:
        lines += ["**Built without optimisation: the figures of Portcullis and of bare tonic say nothing.**", ""]
    lines += ["Measured: " + "; ".join(f"{name}" for name in results["versions"]) + ".", ""]
    lines += [f"Left out: {name}: {why}." for name, why in results["absent"].items()] + [""] * bool(results["absent"])
    lines += ["![Processor time and throughput by number of policies](performance.svg)", ""]
    for size in results["sizes"]:
        lines += [f"### {int(size):,} policies", "", *direct(results, size), "", *latency(results, size), ""]
    if results.get("swap"):
        lines += ["### A whole new policy set under load", "", *swap(results["swap"]), ""]
    if results.get("tcp"):
        lines += ["### Over TCP in place of a Unix socket", "", *tcp(results), ""]
    if results.get("envoy"):
        lines += ["### Through an Envoy", "", *envoy(results), ""]
    if results["engine"] or results["hospital"]:
        lines += ["### The engine alone, in one process", "", *engine(results), ""]
    if not results["debug"]:
        lines += ["### Goals", "", *table(["goal", "wanted", "found", ""], [one.cells() for one in all_goals(results)]), ""]
    lines += ["[load-tests/README.md](../load-tests/README.md) says how each figure comes about and what is fair.", ""]
    return "\n".join(lines)


def pinning(machine: dict) -> str:
    if not machine["apart"]:
        return "The machine has one processor, which server and generator share."
    return "Servers run on one half of the processors, who asks them on the other."


# --- tables -------------------------------------------------------------------------------------------------------


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    align = ["---"] + ["--:"] * (len(head) - 1)
    return ["| " + " | ".join(row) + " |" for row in (head, align, *rows)]


def direct(results: dict, size: str) -> list[str]:
    found = results["direct"][size]
    base = found.get(BASE, {})
    head = ["", "again and again, /s", "never twice, /s", "CPU a hit, µs", "CPU a miss, µs", "× base, hit", "× base, miss", "memory, at most", "start"]
    rows = []
    for key, one in found.items():
        title = results["titles"][key]
        if "reason" in one:
            rows.append([title, cell(one["reason"]), *[""] * (len(head) - 2)])
            continue
        rows.append(
            [
                title, rate(one["repeated"]), rate(one["fresh"]),
                micro(one["repeated"]["cpu_us"]), micro(one["fresh"]["cpu_us"]),
                ratio(one, base, "repeated"), ratio(one, base, "fresh"),
                f"{one['resident'] / 1e6:.0f} MB, {one['resident_peak'] / 1e6:.0f}", f"{one['load_s']:.1f} s",
            ]
        )  # fmt: skip
    return table(head, rows)


def latency(results: dict, size: str) -> list[str]:
    """p50, p99, p99.9 of the open loops."""
    found = {key: one for key, one in results["direct"][size].items() if "reason" not in one}
    names = list(next(iter(found.values()))["open"]) if found else []
    head = ["p50 / p99 / p99.9, µs"] + [column(name) for name in names]
    rows = []
    for key, one in found.items():
        rows.append([results["titles"][key], *(percentiles(one["open"].get(name, {})) for name in names)])
    return table(head, rows)


def column(name: str) -> str:
    if name.startswith("half"):
        return "at half of its most, " + ("never twice" if "fresh" in name else "again and again")
    return f"at {int(name):,}/s, never twice"


def percentiles(one: dict) -> str:
    if "reason" in one:
        return cell(one["reason"])
    if not one:
        return ""
    lost = f", {one['unanswered']:,} unanswered" if one["unanswered"] else ""
    # A percentile of fewer answers than it counts in is one answer's time and no more.
    enough = ((1, "p50_us"), (100, "p99_us"), (1000, "p999_us"))
    shown = [micro(one[name]) if one["completed"] >= least else "–" for least, name in enough]
    return " / ".join(shown) + lost


def swap(found: dict) -> list[str]:
    if "reason" in found:
        return [f"{found['reason']}."]
    what = f"p50 / p99 / p99.9, µs, at {found['rate']:,.0f}/s, {found['policies']:,} policies"
    rows = [["before", percentiles(found["before"])]]
    rows += [["while all policies are replaced", percentiles(found["during"])]]
    return table([what, ""], rows)


def tcp(results: dict) -> list[str]:
    head = ["", "again and again, /s", "never twice, /s", "CPU a hit, µs", "CPU a miss, µs"]
    rows = []
    for key, one in results["tcp"].items():
        if "reason" in one:
            rows.append([results["titles"][key], cell(one["reason"]), "", "", ""])
        else:
            rows.append([results["titles"][key], rate(one["repeated"]), rate(one["fresh"]), micro(one["repeated"]["cpu_us"]), micro(one["fresh"]["cpu_us"])])
    return table(head, rows)


def envoy(results: dict) -> list[str]:
    found = results["envoy"]
    rates = next((list(one["open"]) for one in found.values() if "open" in one), [])
    head = ["", "most, /s", "CPU of Envoy, µs", "of whom it asks, µs"] + [f"p50 / p99 / p99.9, µs, at {int(r):,}/s" for r in rates]
    rows = []
    for key, one in found.items():
        if "reason" in one:
            rows.append([results["titles"]["envoy " + key], cell(one["reason"]), *[""] * (len(head) - 2)])
            continue
        fresh = one["fresh"]
        each = [micro(usage["cpu_s"] * 1e6 / max(1, fresh["completed"])) for usage in fresh["servers"]] + [""]
        rows.append([results["titles"]["envoy " + key], rate(fresh), *each[:2], *(percentiles(one["open"][r]) for r in rates)])
    return [
        f"mTLS over HTTP/2, {results['envoy_size']:,} policies, never the same request twice.",
        "",
        *table(head, rows),
    ]


def engine(results: dict) -> list[str]:
    head = ["", "policies", "engine", "mean, µs", "p50, µs", "p99, µs", "yes of all"]
    of_estate = [("the same questions", one) for one in results["engine"].values()]
    rows = []
    for name, one in [*of_estate, *(("SAPL's hospital", one) for one in results["hospital"])]:
        if "reason" in one:
            rows.append([name, "", cell(one["reason"]), "", "", "", ""])
            continue
        figures = [f"{one[figure]:,.2f}" for figure in ("mean_us", "p50_us", "p99_us")]
        rows.append([name, f"{one['policies']:,}", one["engine"], *figures, f"{one['permitted']} of {one['questions']}"])
    clock = max((one["clock_us"] for one in results["hospital"] if "clock_us" in one), default=0.0)
    return [
        "From a question in AuthZEN's terms to a yes or no, on one thread, with nothing remembered. p50 and p99 hold the "
        f"{clock:.2f} µs that reading the clock takes. SAPL 4.0 publishes 0.18 to 0.37 µs for the hospital up to 9,905 policies "
        "(JVM, another machine).",
        "",
        *table(head, rows),
    ]


# --- cells --------------------------------------------------------------------------------------------------------


def cell(text: str) -> str:
    """A reason, short enough for a table; the raw figures have all of it."""
    text = text.replace("|", "/")
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def rate(report: dict) -> str:
    least = "≥ " if report["generator_share"] > BUSY else ""
    return f"{least}{report['per_second']:,.0f}" if report["per_second"] >= 10 else f"{report['per_second']:.1f}"


def micro(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def ratio(one: dict, base: dict, kind: str) -> str:
    if "reason" in base or not base or not base[kind]["cpu_us"]:
        return ""
    return f"{one[kind]['cpu_us'] / base[kind]['cpu_us']:.2f}"


def for_terminal(text: str) -> str:
    """The same with its tables' columns aligned."""
    out, block = [], []
    for line in [*(line for line in text.splitlines() if not line.startswith("![")), ""]:
        if line.startswith("|"):
            block.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if block:
            widths = [max(map(len, cells)) for cells in zip(*(row for row in block if not row[0].startswith("---")))]
            for row in block:
                cells = ["─" * width if row[0].startswith("---") else cell.ljust(width) for cell, width in zip(row, widths)]
                out.append("  ".join(cells).rstrip())
            block = []
        out.append(line)
    return "\n".join(out)
