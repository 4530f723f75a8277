#!/usr/bin/env python3
"""`make demo`: real Envoys, real mTLS, real decisions. Exit code 0 only if every row is as expected."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from scenarios import Row, all_rows
from stack import Stack

HEADINGS = ("request", "who asked", "expected", "got", "decided by", "decision id", "ms")


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    stack = Stack(options.portcullis.resolve(), options.envoy.resolve(), say)
    try:
        started = time.monotonic()
        stack.start()
        say(f"all ready after {time.monotonic() - started:.1f} s; asking")
        rows = list(progress(all_rows(stack)))
        print_table(rows)
        good = sum(row.as_expected for row in rows)
        print(f"\n{good} of {len(rows)} rows as expected, {time.monotonic() - started:.0f} s")
        if options.keep:
            keep_up(stack)
        return 0 if good == len(rows) else 1
    except RuntimeError as error:
        print(f"the demo could not run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        stack.stop()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portcullis", type=Path, required=True, help="the gateway's binary")
    parser.add_argument("--envoy", type=Path, required=True, help="Envoy's binary")
    parser.add_argument("--keep", action="store_true", help="leave all running and print commands to try")
    return parser.parse_args()


def say(what: str) -> None:
    print(f"· {what}", flush=True)


def progress(rows):
    for row in rows:
        say(f"{row.caller}: {row.request} → {row.got}")
        yield row


def print_table(rows: list[Row]) -> None:
    lines = [
        (r.request, r.caller, r.expected, r.got + ("" if r.as_expected else "  ← WRONG"), r.policies, r.decision_id, f"{r.milliseconds:.1f}")
        for r in rows
    ]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *lines)]
    print()
    for line in (HEADINGS, tuple("─" * width for width in widths), *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def keep_up(stack: Stack) -> None:
    ports = stack.ports
    print(f"""
All is still running. Try:

  curl -i --path-as-is http://127.0.0.1:{ports['web']}/orders/17           # web asks orders, through both sidecars
  curl -i --path-as-is 'http://127.0.0.1:{ports['batch']}/internal/keys'    # forbidden, although a permit matches
  curl -s http://127.0.0.1:{ports['operations']}/metrics | grep portcullis
  curl -s http://127.0.0.1:{ports['authzen']}/access/v1/evaluation -H 'content-type: application/json' -d \\
    '{{"subject":{{"type":"Workload","id":"spiffe://example.org/batch"}},"action":{{"name":"GET"}},
      "resource":{{"type":"Path","id":"/reports/today","properties":{{"service":"orders"}}}},
      "context":{{"host":"orders","path":"/reports/today","scheme":"http","protocol":"HTTP/1.1","headers":{{}}}}}}'
  $EDITOR {stack.policies}/orders.cedar    # the next request obeys it
  tail -f {stack.audit}
  {stack.portcullis} audit verify --log {stack.run}/data/log

Ctrl-C ends everything.""")
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
