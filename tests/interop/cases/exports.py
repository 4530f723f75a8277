"""Records that are given to others, read by OpenTelemetry's published messages and OCSF's published schema."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from bench import Bench, expect_equal, until
from cases.case import Case
from gateway import Gateway

PROGRAM = Path(__file__).resolve().parent.parent / "exports" / "collector.py"
AUTHZEN = Path(__file__).resolve().parent.parent / "authzen" / "client.py"


def given(bench: Bench) -> None:
    gateway = Gateway(bench.tools["portcullis"])
    key = bench.scratch / "webhook-key"
    key.write_text(f"whsec_{base64.b64encode(bytes(range(32))).decode()}\n")
    key.chmod(0o600)
    try:
        with bench.running("collector", str(PROGRAM)) as collector:
            port = collector.expect("port ").split()[1]
            exports = [
                {"name": "otlp", "otlp": {"url": f"http://127.0.0.1:{port}/v1/logs"}},
                {"name": "ocsf", "webhook": {"url": f"http://127.0.0.1:{port}/hook", "key_file": str(key), "format": "ocsf"}},
            ]
            gateway.start({"PORTCULLIS_AUDIT__EXPORTS": json.dumps(exports)})
            bench.run("authzen-clients", str(AUTHZEN), "apparitor", f"http://{gateway.authzen}").ok()
            file = gateway.home / "data" / "audit.jsonl"
            until("the decisions are in the log", lambda: '"record":"decision"' in file.read_text())
            last = len(file.read_text().splitlines()) - 1
            for form in ("otlp", "ocsf"):
                if not any(line.startswith(f"{form} {last} ") for line in collector.seen):
                    collector.expect(f"{form} {last} ")
            expect_equal([line for line in collector.seen if line.startswith("refused")], [], "what the collector refused")
    finally:
        gateway.stop()


CASES = (Case("records as OTLP and OCSF, read by what others have published", "collector", given, needs=("portcullis", "authzen-clients")),)
