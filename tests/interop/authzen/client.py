"""Asks a PDP by decern and by apparitor, as they are on PyPI: `client.py CLIENT URL`, a line for each answer."""

from __future__ import annotations

import asyncio
import sys

WEB = {"type": "Workload", "id": "spiffe://example.org/web"}
CONTEXT = {"host": "orders", "path": "/orders/17", "scheme": "http", "protocol": "HTTP/1.1", "headers": {}}
PATHS = ("/orders/17", "/internal/x", "/orders/17")


def resource(path: str) -> dict[str, object]:
    return {"type": "Path", "id": path, "properties": {"service": "orders"}}


def context(path: str) -> dict[str, object]:
    return CONTEXT | {"path": path}


def decern(url: str) -> None:
    from decern import Client, DecernError

    client = Client(url)
    for path in PATHS:
        print(path, client.evaluate(WEB, "GET", resource(path), context(path)).allowed)
    print("unknown action", client.evaluate(WEB, {"name": "fly"}, resource("/"), {}).allowed)
    try:
        client.evaluate({"type": "Workload"}, "GET", resource("/"))
    except DecernError as error:
        print("incomplete", error.status_code)


async def apparitor(url: str) -> None:
    from apparitor import AuthZENClientError, ScannerConfig
    from apparitor.client import AuthZENClient
    from apparitor.models import BatchEvaluationRequest, EvaluationRequest

    question = {"subject": WEB, "action": {"name": "GET"}}
    async with AuthZENClient(ScannerConfig(pdp_url=url, allow_insecure_pdp=True)) as client:
        for path in PATHS:
            request = EvaluationRequest(**question, resource=resource(path), context=context(path))
            print(path, (await client.evaluate(request)).decision)
        items = [{"resource": resource(path), "context": context(path)} for path in PATHS]
        for semantic in ("execute_all", "deny_on_first_deny", "permit_on_first_permit"):
            options = {"evaluations_semantic": semantic}
            batch = BatchEvaluationRequest(**question, evaluations=items, options=options)
            answers = (await client.evaluate_batch(batch)).evaluations
            print(semantic, *(answer.decision for answer in answers))
        try:
            await client.evaluate(EvaluationRequest(**question, resource={"type": "Path", "id": ""}))
        except AuthZENClientError:
            print("incomplete refused")


if __name__ == "__main__":
    name, url = sys.argv[1:]
    decern(url) if name == "decern" else asyncio.run(apparitor(url))
