#!/usr/bin/env python3
"""A human, a coordinator agent, a tool agent and an MCP tool server behind Envoy. Exit code 0 only if every step is ok."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from agents import Agent, claims
from stack import Stack

TOOL = "https://tool.example.org"
ORDERS = "https://orders.example.org"

Step = tuple[str, object, object]  # what is done, what must come of it, what did


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portcullis", type=Path, required=True, help="the gateway's binary")
    parser.add_argument("--envoy", type=Path, required=True, help="Envoy's binary")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    stack = Stack(options.portcullis.resolve(), options.envoy.resolve())
    failed = 0
    try:
        stack.start()
        for what, expected, found in steps(stack):
            good = expected == found
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {what}" + ("" if good else f": {found!r} and not {expected!r}"), flush=True)
        return 1 if failed else 0
    except RuntimeError as error:
        print(f"FAIL the demo could not go on: {error}", file=sys.stderr)
        return 1
    finally:
        stack.stop()


def steps(stack: Stack) -> Iterator[Step]:
    coordinator, tool = stack.agent("coordinator"), stack.agent("tool")
    alice = stack.login.token("alice", "agents", "orders:read orders:refund")
    first = given(coordinator.exchange(alice, TOOL, "orders:read"))
    yield "the coordinator is given a token to act for alice, and asks for less than she has", "orders:read", first.get("scope")
    leaf = given(tool.exchange(first["access_token"], ORDERS, "orders:read"))
    yield from shows_both_hops(stack, tool, leaf)
    yield from is_never_wider(coordinator, tool, alice, first, leaf)
    yield from is_of_no_use_to_others(stack, coordinator, tool, leaf)
    yield from ends_at_once(stack, tool, first, leaf)


def shows_both_hops(stack: Stack, tool: Agent, leaf: dict) -> Iterator[Step]:
    said = claims(leaf["access_token"])
    chain = [said["sub"], said["act"]["sub"], said["act"]["act"]["sub"]]
    both = ["alice", "spiffe://example.org/tool", "spiffe://example.org/coordinator"]
    yield "the leaf token shows whom it is about and both hops", both, chain
    status, answer = tool.call("get_order", {"order": "17"}, leaf["access_token"])
    text = answer.get("result", {}).get("content", [{}])[0].get("text")
    told = "order 17: 3 lamps (asked by spiffe://example.org/tool)"
    yield "with it, the tool reads an order through Envoy", (200, told), (status, text)
    record = stack.last_decision('Tool::"get_order"')
    who = [record["token_claims"]["subject"], *(actor["subject"] for actor in record["actors"] or [])]
    yield "the record says who acted for whom", both, who


def is_never_wider(coordinator: Agent, tool: Agent, alice: str, first: dict, leaf: dict) -> Iterator[Step]:
    wider = tool.exchange(first["access_token"], ORDERS, "orders:read orders:refund")
    yield "a wider scope than the coordinator passed on is refused", "invalid_scope", wider.get("error")
    unknown = coordinator.exchange(alice, TOOL, "everything")
    yield "a scope that there is not is refused", "invalid_scope", unknown.get("error")
    _, answer = tool.call("refund_order", {"order": "17", "amount": 500}, leaf["access_token"])
    yield "what was not granted can't be done with the token either", "no_permit", reason(answer)


def is_of_no_use_to_others(stack: Stack, coordinator: Agent, tool: Agent, leaf: dict) -> Iterator[Step]:
    _, answer = tool.call("get_order", {"order": "17"}, None)
    yield "without a token the tool may do nothing", "no_permit", reason(answer)
    for thief in (stack.agent("thief"), coordinator):
        status, answer = thief.call("get_order", {"order": "17"}, leaf["access_token"])
        yield f"the token is of no use to the {thief.name}, whose SVID is another", (401, "other_holder"), (status, reason(answer))


def ends_at_once(stack: Stack, tool: Agent, first: dict, leaf: dict) -> Iterator[Step]:
    status, _ = tool.call("get_order", {"order": "17"}, leaf["access_token"])
    yield "until then the tool's own calls go on, from the cache", 200, status
    stack.command("delegation", "revoke", "-member", "spiffe://example.org/coordinator", "-ttl", "1h")
    status, answer = tool.call("get_order", {"order": "17"}, leaf["access_token"])
    yield "the coordinator is revoked: the tool's next call is refused", (401, "revoked_token"), (status, reason(answer))
    again = tool.exchange(first["access_token"], ORDERS, "orders:read")
    yield "and no new token comes of the chain", "invalid_request", again.get("error")
    stack.command("delegation", "restore", "-member", "spiffe://example.org/coordinator")
    status, _ = tool.call("get_order", {"order": "17"}, leaf["access_token"])
    yield "it is restored: the chain goes on", 200, status


def given(answer: dict) -> dict:
    """An answer that has a token."""
    if "access_token" not in answer:
        raise RuntimeError(f"there is no token: {answer}")
    return answer


def reason(answer: dict) -> str | None:
    """Why a call was denied: in the error of a call, or in the body of a plain denial."""
    return answer.get("error", {}).get("data", {}).get("reason") if "jsonrpc" in answer else answer.get("reason")


if __name__ == "__main__":
    sys.exit(main())
