"""AuthZEN clients, over plain HTTP on loopback and over TLS. Their programs are under authzen/ and authzen-rs/."""

from __future__ import annotations

from pathlib import Path

from bench import Bench, expect_equal
from cases.case import Case

PROGRAM = str(Path(__file__).resolve().parent.parent / "authzen" / "client.py")
SINGLE = "/orders/17 True\n/internal/x False\n/orders/17 True\n"
MANY = "execute_all True False True\ndeny_on_first_deny True False\npermit_on_first_permit True\n"


def asks(client: str, expected: str):
    def check(bench: Bench) -> None:
        said = bench.run("authzen-clients", PROGRAM, client, bench.authzen).ok().stdout
        expect_equal(said, expected, f"what {client} was told")

    return check


def asks_over_tls(bench: Bench) -> None:
    ca = bench.scratch / "authzen-ca.pem"
    ca.write_text(bench.server("bundle show").ok().stdout)
    said = bench.run("authzen-rs", bench.authzen_tls, str(ca)).ok().stdout
    expect_equal(said, (SINGLE + MANY).lower() + "actions GET HEAD OPTIONS\n", "what authzen-rs was told")


CASES = (
    Case("decern asks", "authzen-clients", asks("decern", SINGLE + "unknown action False\nincomplete 400\n")),
    Case("authzen-rs finds the endpoints and asks over TLS", "authzen-rs", asks_over_tls),
    Case("apparitor asks one question and many", "authzen-clients", asks("apparitor", SINGLE + MANY + "incomplete refused\n")),
)
