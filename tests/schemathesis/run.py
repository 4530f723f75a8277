#!/usr/bin/env python3
"""`make fuzz-api`: schemathesis sends a running gateway what the documents under docs/openapi allow, and what they do not.

AuthZEN is asked four times: where nobody has to say who asks; by nobody where one has to; by a caller who may ask; and by one
who may not. Exit code 0 only if every answer was one that its document has: no fault, no undocumented status, header or body; and
if the answers to all four were seen.
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
import urllib.request
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path.home() / ".cache" / "portcullis" / "schemathesis"
DOCUMENTS = ROOT / "docs" / "openapi"
READY_SECONDS = 60.0

# Drawn for this, and known to everybody.
GATEWAY_KEY = "an-example-drawn-by-nobody-4f1c"
STRANGERS_KEY = "another-example-drawn-by-nobody"

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


# Who is nobody is told so before the method is looked at.
OF_NOBODY = tuple(check for check in CHECKS if check not in {"unsupported_method", "allow_header_conformance"})

# What the four ways to ask AuthZEN must have been answered with, among other things.
STATUSES = (200, 400, 401, 403)


@dataclass(frozen=True)
class Run:
    """One document, and where and how its surface is asked."""

    name: str
    document: str
    url: str
    share: int = 1  # one in so many of the examples
    key: str | None = None
    checks: tuple[str, ...] = CHECKS


def main() -> int:
    options = arguments()
    program = installed()
    with tempfile.TemporaryDirectory(prefix="pc-", dir="/tmp") as home:
        ports = {name: free_port() for name in ("authzen", "callers", "operations", "witness", "bundle", "oidc", "token")}
        gateway = start(options.portcullis.resolve(), Path(home), ports)
        try:
            wait_until_ready(gateway, ports["operations"])
            failed = [run.name for run in runs(ports) if not passes(program, run, options, home)]
            if gateway.poll() is not None:
                print(f"the gateway ended with {gateway.returncode}", file=sys.stderr)
                return 1
            missing = unseen(ports["operations"])
            for what, names in (("failed", failed), ("never answered", missing)):
                if names:
                    print(f"{what}: {', '.join(names)}", file=sys.stderr)
            return 1 if failed or missing else 0
        finally:
            gateway.terminate()
            gateway.wait()


def runs(ports: dict[str, int]) -> list[Run]:
    def at(name: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{ports[name]}"

    return [
        Run("authzen", "authzen.yaml", at("authzen")),
        Run("authzen by nobody", "authzen.yaml", at("callers"), share=10, checks=OF_NOBODY),
        Run("authzen by a caller", "authzen.yaml", at("callers"), share=4, key=GATEWAY_KEY),
        Run("authzen by a stranger", "authzen.yaml", at("callers"), share=10, key=STRANGERS_KEY),
        Run("operations", "operations.yaml", at("operations"), share=2),
        Run("witness", "witness.yaml", at("witness"), share=2),
        Run("bundle endpoint", "bundle.yaml", at("bundle", "https"), share=10),
        Run("openid provider", "oidc.yaml", at("oidc"), share=10),
        Run("token endpoint", "token.yaml", at("token"), share=2),
    ]


def passes(program: Path, run: Run, options: argparse.Namespace, home: str) -> bool:
    print(f"\n· {run.name}", flush=True)
    examples = max(options.examples // run.share, 5)
    command = [program, "run", DOCUMENTS / run.document, "--url", run.url, "--checks", ",".join(run.checks)]
    command += ["--max-examples", str(examples), "--no-color"]
    command += ["--seed", str(options.seed)] if options.seed else []
    command += ["--header", f"Authorization: Bearer {run.key}"] if run.key else []
    # It shows an SVID of its own authority, which nobody here knows.
    command += ["--tls-verify", "false"] if run.url.startswith("https") else []
    return subprocess.run(command, cwd=home, check=False).returncode == 0


def unseen(operations: int) -> list[str]:
    """The statuses that AuthZEN should have answered with and did not, by the gateway's own count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operations}/metrics") as answer:  # noqa: S310
        lines = answer.read().decode().splitlines()
    counted = {line.split(" ")[0] for line in lines if line.startswith("portcullis_authzen_requests_total")}
    wanted = {status: f'portcullis_authzen_requests_total{{status="{status}"}}' for status in STATUSES}
    return [str(status) for status, name in wanted.items() if name not in counted]


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


def start(portcullis: Path, home: Path, ports: dict[str, int]) -> subprocess.Popen[bytes]:
    def key(name: str, text: str) -> str:
        return f"{{name: {name}, sha256: {hashlib.sha256(text.encode()).hexdigest()}}}"

    configuration = home / "portcullis.yaml"
    configuration.write_text(f"""\
trust_domain: example.org
listen:
  authzen:
    - tcp:127.0.0.1:{ports["authzen"]}
    - address: tcp:127.0.0.1:{ports["callers"]}
      callers: {{api_keys: [{key("gateway", GATEWAY_KEY)}, {key("stranger", STRANGERS_KEY)}], policy: true}}
  operations: tcp:127.0.0.1:{ports["operations"]}
  witness: tcp:127.0.0.1:{ports["witness"]}
  bundle_spiffe: tls:127.0.0.1:{ports["bundle"]}
  oidc: tcp:127.0.0.1:{ports["oidc"]}
  token: tcp:127.0.0.1:{ports["token"]}
decision: {{policies: {ROOT / "examples" / "authzen-callers"}}}
authzen: {{identifier: "https://pdp.example.com", decision_context_on_request: true}}
federation: {{endpoint: {{spiffe_id: spiffe://example.org/bundle}}}}
identity: {{jwt_issuer: "https://id.example.org"}}
oidc: {{issuers: ["https://id.example.org"]}}
delegation: {{issuer: "https://tokens.example.org", audiences: [{{name: "https://calendar.example.org"}}], scopes: ["calendar:read"]}}
log: {{filter: error}}
""")
    (home / "run").mkdir()
    return subprocess.Popen([portcullis, "serve", "--config", configuration], cwd=home, env=dict(os.environ))


def wait_until_ready(gateway: subprocess.Popen[bytes], operations: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and gateway.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", operations, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit("the gateway is not ready")


if __name__ == "__main__":
    sys.exit(main())
