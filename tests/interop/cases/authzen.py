"""AuthZEN clients, over plain HTTP on loopback. Their program is under authzen/."""

from __future__ import annotations

from pathlib import Path

from bench import Bench, expect_equal
from cases.case import Case

PROGRAM = str(Path(__file__).resolve().parent.parent / "authzen" / "client.py")
SINGLE = "/orders/17 True\n/internal/x False\n/orders/17 True\n"


def asks(client: str, expected: str):
    def check(bench: Bench) -> None:
        said = bench.run("authzen-clients", PROGRAM, client, bench.authzen).ok().stdout
        expect_equal(said, expected, f"what {client} was told")

    return check


MANY = "execute_all True False True\ndeny_on_first_deny True False\npermit_on_first_permit True\n"
CASES = (
    Case("decern asks", "authzen-clients", asks("decern", SINGLE + "unknown action False\nincomplete 400\n")),
    Case("apparitor asks one question and many", "authzen-clients", asks("apparitor", SINGLE + MANY + "incomplete refused\n")),
)
