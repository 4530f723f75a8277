"""docs/performance.svg: processor time of a request and throughput, by number of policies, both axes logarithmic."""

from __future__ import annotations

import math
from html import escape

from goals import US

WIDTH, HEIGHT = 960, 456
PANEL = {"left": 70, "top": 56, "width": 370, "height": 280}
GAP = 470  # from one panel's left edge to the other's
COLOURS = ("#1b6ac9", "#d9480f", "#2b8a3e", "#862e9c", "#b08900", "#0b7285", "#c2255c")
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.title{font-size:14px;font-weight:600}.label{font-size:11px;fill:#888}.grid{stroke:#8884;stroke-width:1}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}}"
)


def svg(results: dict) -> str:
    keys = [key for key in results["direct"][results["sizes"][-1]]]
    sizes = [int(size) for size in results["sizes"]]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Processor time and throughput by number of policies">',
        f"<style>{STYLE}</style>",
        *panel(results, keys, sizes, 0, "CPU of a request that was never asked before, µs", "cpu_us"),
        *panel(results, keys, sizes, GAP, "answers a second, never the same request twice", "per_second"),
        *legend(results, keys),
        f'<text class="label" x="{PANEL["left"]}" y="{HEIGHT - 8}">{escape(label(results))}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def label(results: dict) -> str:
    machine = results["machine"]
    return f"{results['command']}, {results['date']}, commit {results['commit']}, {machine['processors']}, {machine['cores']} cores"


def values(results: dict, key: str, figure: str) -> list[tuple[int, float]]:
    found = ((int(size), results["direct"][size].get(key, {})) for size in results["sizes"])
    return [(size, one["fresh"][figure]) for size, one in found if "fresh" in one and one["fresh"][figure]]


def panel(results: dict, keys: list[str], sizes: list[int], shift: int, title: str, figure: str) -> list[str]:
    left, top, width, height = PANEL["left"] + shift, PANEL["top"], PANEL["width"], PANEL["height"]
    all_values = [value for key in keys for _, value in values(results, key, figure)] or [1.0]
    low, high = math.floor(math.log10(min(all_values))), math.ceil(math.log10(max(all_values)))
    high = max(high, low + 1)
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])

    def x(size: float) -> float:
        return left + width * ((math.log10(size) - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return top + height * (1 - (math.log10(value) - low) / (high - low))

    parts = [f'<text class="title" x="{left}" y="{top - 20}">{escape(title)}</text>']
    for power in range(low, high + 1):
        at = y(10**power)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + width}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{10**power:,g}</text>')
    for size in sizes:
        parts.append(f'<text x="{x(size):.1f}" y="{top + height + 18}" text-anchor="middle">{size:,}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 36}" text-anchor="middle">policies</text>')
    for number, key in enumerate(keys):
        points = [(x(size), y(value)) for size, value in values(results, key, figure)]
        colour = COLOURS[number % len(COLOURS)]
        if len(points) > 1:
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{4 if key == US else 2}"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
    return parts


def legend(results: dict, keys: list[str]) -> list[str]:
    parts = []
    for number, key in enumerate(keys):
        x, y = PANEL["left"] + (number % 4) * 220, HEIGHT - 60 + (number // 4) * 20
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{y}">{escape(results["titles"][key])}</text>')
    return parts
