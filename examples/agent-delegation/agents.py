"""What an agent does: it asks for a token as itself, and calls a tool with it. Both over mTLS, with its own SVID."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@dataclass
class Agent:
    """A workload with an SVID of its own."""

    name: str
    svid: Path  # the directory with svid.pem, key.pem and bundle.pem
    token_port: int
    mcp_port: int

    def exchange(self, subject_token: str, audience: str, scope: str) -> dict:
        """Asks for a token with which it acts for the subject of another (RFC 8693)."""
        form = {
            "grant_type": EXCHANGE,
            "subject_token": subject_token,
            "subject_token_type": ACCESS_TOKEN,
            "audience": audience,
            "scope": scope,
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = self.post("localhost", self.token_port, "/token", headers, urllib.parse.urlencode(form))
        return json.loads(answer[1])

    def call(self, tool: str, arguments: dict, token: str | None) -> tuple[int, dict]:
        """Calls a tool of the MCP server: the status, and what came back."""
        call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        status, body = self.post(None, self.mcp_port, "/mcp", headers, json.dumps(call))
        return status, json.loads(body)

    def post(self, host: str | None, port: int, path: str, headers: dict, body: str) -> tuple[int, str]:
        """Over mTLS. An SVID has no name to be checked, but must be of our trust domain's authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = host is not None
        context.load_verify_locations(self.svid / "bundle.pem")
        context.load_cert_chain(self.svid / "svid.pem", self.svid / "key.pem")
        connection = http.client.HTTPSConnection(host or "127.0.0.1", port, context=context, timeout=10)
        try:
            connection.request("POST", path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def claims(token: str) -> dict:
    """What a token says. Whoever is to believe it must verify it first."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
