"""What the demo asks, and what it expects to get."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stack import Stack
from wire import Answer, authzen, handshake_without_certificate, over_tcp

REFUSED = "refused in the handshake"


@dataclass
class Row:
    """One line of the table."""

    request: str
    caller: str
    expected: str
    got: str
    policies: str
    decision_id: str
    milliseconds: float

    @property
    def as_expected(self) -> bool:
        return self.got == self.expected


def all_rows(stack: Stack) -> Iterator[Row]:
    """Every request of the demo, in order, each made when its row is asked for."""
    yield call(stack, "web", "GET", "/orders/17", "200", "web-reads-orders")
    yield call(stack, "web", "POST", "/orders", "200", "web-places-orders")
    yield call(stack, "batch", "GET", "/reports/today", "200", "batch-reads-everything")
    yield call(stack, "batch", "POST", "/orders", "403", "")
    yield call(stack, "web", "GET", "/admin", "403", "")
    yield call(stack, "batch", "GET", "/internal/keys", "403", "nobody-reads-internal")
    yield call(stack, "web", "GET", "/orders/../admin", "403", "")
    yield call(stack, "web", "GET", "//admin", "403", "")
    yield call(stack, "web", "GET", "/admin;v=1", "400", "")
    yield call(stack, "web", "GET", "/admin%2f..", "400", "")
    yield call(stack, "web", "GET", "/orders/%252e%252e/admin", "400", "")
    yield no_certificate(stack)
    yield foreign_authority(stack)
    yield direct_question(stack, "batch", "/reports/today", "allow")
    yield direct_question(stack, "batch", "/internal/keys", "deny")
    yield policy_edit(stack)
    yield rotation(stack)


def call(stack: Stack, caller: str, method: str, path: str, status: str, policy: str) -> Row:
    """A request through the caller's sidecar, over mTLS, to the `orders` sidecar."""
    answer, milliseconds = timed(lambda: over_tcp(stack.ports[caller], method, path))
    record = stack.decision(answer.decision_id) or {}
    decided = ",".join(record.get("policies", []))
    got = str(answer.status)
    if record and decided != policy:
        got += f" by {decided or 'no policy'}"
    if answer.status == 200 and json.loads(answer.body)["caller"] != f"spiffe://example.org/{caller}":
        got += " but the service was told another caller"
    shown = decided or record.get("reason", "Envoy itself" if answer.status == 400 else "")
    return Row(f"{method} {path}", caller, status, got, shown, answer.decision_id, milliseconds)


def no_certificate(stack: Stack) -> Row:
    said, milliseconds = timed(lambda: handshake_without_certificate(stack.ports["backend"]))
    got = REFUSED if said.startswith("refused") else said
    return Row("TLS without a certificate", "nobody", REFUSED, got, "", "", milliseconds)


def foreign_authority(stack: Stack) -> Row:
    """The impostor holds a certificate for the name of `web`, signed by another authority."""
    before = verify_failures(stack)
    answer, milliseconds = timed(lambda: over_tcp(stack.ports["impostor"], "GET", "/orders/17"))
    refused = answer.status == 503 and verify_failures(stack) > before
    got = REFUSED if refused else f"{answer.status} {answer.body[:60]}"
    return Row("GET /orders/17, SVID of a foreign CA", "impostor", REFUSED, got, "", "", milliseconds)


def verify_failures(stack: Stack) -> int:
    """How many client certificates the `orders` sidecar has refused."""
    lines = stack.admin("orders", "/stats?filter=ssl.fail_verify_error").body.splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines)


def direct_question(stack: Stack, subject: str, path: str, expected: str) -> Row:
    """The same policies, asked over AuthZEN by a service without a sidecar."""
    identity = f"spiffe://example.org/{subject}"
    answer, milliseconds = timed(lambda: authzen(stack.ports["authzen"], identity, "GET", path))
    record = stack.decision(answer.decision_id) or {}
    decision = json.loads(answer.body).get("decision") if answer.status == 200 else answer.body
    got = {True: "allow", False: "deny"}.get(decision, f"{answer.status} {decision}")
    policies = ",".join(record.get("policies", [])) or record.get("reason", "")
    return Row(f"AuthZEN: may it GET {path}?", subject, expected, got, policies, answer.decision_id, milliseconds)


def policy_edit(stack: Stack) -> Row:
    """A policy is added while all runs; the next request obeys it."""
    loads = sum(record["record"] == "policy_load" for record in stack.records())
    edited = stack.policies / "maintenance.cedar"
    edited.write_text(
        '@id("closed-for-maintenance")\n'
        'forbid (principal, action in Action::"read", resource in Path::"/orders");\n'
    )
    stack.wait_until(
        "the edited policy is loaded",
        lambda: sum(record["record"] == "policy_load" for record in stack.records()) > loads,
    )
    row = call(stack, "web", "GET", "/orders/17", "403", "closed-for-maintenance")
    row.request += ", after a policy edit"
    edited.unlink()
    stack.wait_until("the policy is gone again", lambda: over_tcp(stack.ports["web"], "GET", "/orders/1").status == 200)
    return row


def rotation(stack: Stack) -> Row:
    """Requests without a pause while the sidecars' SVIDs are renewed under them: none may fail."""
    serials_before = {name: serial(stack, name) for name in ("web", "orders")}
    rotated: set[str] = set()
    failed: list[str] = []
    count = 0
    started = time.monotonic()
    last = Answer(0)
    settled = None
    while time.monotonic() - started < 25 and (settled is None or time.monotonic() < settled):
        last = over_tcp(stack.ports["web"], "GET", "/orders/17")
        count += 1
        if last.status != 200:
            failed.append(f"{last.status} {last.body[:60]}")
        if count % 20 == 0:
            rotated = {name for name, before in serials_before.items() if serial(stack, name) != before}
            if settled is None and len(rotated) == len(serials_before):
                settled = time.monotonic() + 2  # two more generations of connections
    milliseconds = (time.monotonic() - started) * 1000 / count
    if failed:
        got = f"{len(failed)} failed, first: {failed[0]}"
    elif len(rotated) < len(serials_before):
        got = f"only {', '.join(sorted(rotated)) or 'nobody'} rotated"
    else:
        got = "0 failed"
    request = f"{count} × GET /orders/17 while both SVIDs rotate"
    return Row(request, "web", "0 failed", got, "web-reads-orders", last.decision_id, milliseconds)


def serial(stack: Stack, name: str) -> str:
    """The serial number of the certificate that a sidecar uses now."""
    certificates = json.loads(stack.admin(name, "/certs").body)["certificates"]
    return next(chain["serial_number"] for one in certificates for chain in one.get("cert_chain", []))


def timed(action: Callable[[], object]) -> tuple:
    started = time.monotonic()
    result = action()
    return result, (time.monotonic() - started) * 1000
