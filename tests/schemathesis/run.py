#!/usr/bin/env python3
"""`make fuzz-api`: schemathesis sends a running gateway what docs/openapi/authzen.yaml allows, and what it does not.

Exit code 0 only if every answer was one that the document has: no fault, no undocumented status, header or body.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path.home() / ".cache" / "portcullis" / "schemathesis"
DOCUMENT = ROOT / "docs" / "openapi" / "authzen.yaml"
READY_SECONDS = 60.0

# Not among them: that whatever fits the document is taken, and nothing else. The document can't say what I-JSON forbids,
# and an item of a batch that does not fit is denied, not refused.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


def main() -> int:
    options = arguments()
    program = installed()
    with tempfile.TemporaryDirectory(prefix="pc-", dir="/tmp") as home:
        port = free_port()
        gateway = start(options.portcullis.resolve(), Path(home), port)
        try:
            wait_until_ready(gateway, port)
            command = [program, "run", DOCUMENT, "--url", f"http://127.0.0.1:{port}", "--checks", ",".join(CHECKS)]
            command += ["--max-examples", str(options.examples), "--no-color"]
            command += ["--seed", str(options.seed)] if options.seed else []
            code = subprocess.run(command, cwd=home, check=False).returncode
            if gateway.poll() is not None:
                print(f"the gateway ended with {gateway.returncode}", file=sys.stderr)
                return 1
            return code
        finally:
            gateway.terminate()
            gateway.wait()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portcullis", type=Path, required=True, help="the gateway's binary")
    parser.add_argument("--examples", type=int, default=200, help="how many requests for each endpoint")
    parser.add_argument("--seed", type=int, help="repeats a run")
    return parser.parse_args()


def installed() -> Path:
    """Schemathesis as requirements.txt pins it, in an environment of its own."""
    requirements = HERE / "requirements.txt"
    home = CACHE / hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    program = home / "bin" / "st"
    if not program.exists():
        print("· installing schemathesis", flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", "--requirement", requirements], check=True)
    return program


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(portcullis: Path, home: Path, port: int) -> subprocess.Popen[bytes]:
    configuration = home / "portcullis.yaml"
    configuration.write_text(f"""\
trust_domain: example.org
listen: {{authzen: "tcp:127.0.0.1:{port}", operations: "unix:run/operations.sock"}}
decision: {{policies: {ROOT / "examples" / "authzen-certification"}}}
authzen: {{identifier: "https://pdp.example.com", decision_context_on_request: true}}
log: {{filter: error}}
""")
    (home / "run").mkdir()
    return subprocess.Popen([portcullis, "serve", "--config", configuration], cwd=home, env=dict(os.environ))


def wait_until_ready(gateway: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and gateway.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/.well-known/authzen-configuration")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the gateway is not ready")


if __name__ == "__main__":
    sys.exit(main())
