"""How the demo talks to what it started: HTTP with the path sent as it is, over TCP or a Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What came back: a status, or the words of a connection that was refused."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def decision_id(self) -> str:
        return self.headers.get("x-portcullis-decision-id", "")


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a Unix socket."""

    def __init__(self, path: str, timeout: float = 5) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: str | None = None,
) -> Answer:
    """One request and its answer. The path is sent byte for byte: no library tidies it."""
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
    finally:
        connection.close()


def over_tcp(port: int, method: str, path: str, headers: dict[str, str] | None = None, body: str | None = None) -> Answer:
    return send(http.client.HTTPConnection("127.0.0.1", port, timeout=5), method, path, headers, body)


def over_unix(socket_path: str, method: str, path: str) -> Answer:
    return send(UnixConnection(socket_path), method, path)


def handshake_without_certificate(port: int) -> str:
    """Asks the mTLS port for a page without showing a certificate; returns what TLS said.

    In TLS 1.3 the server's refusal arrives after the client thinks that it is done, so a read is needed to see it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            with context.wrap_socket(plain, server_hostname="orders.local") as secure:
                secure.sendall(b"GET /orders HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n")
                first = secure.recv(4096)
                return f"answered: {first[:40]!r}" if first else "closed"
    except ssl.SSLError as error:
        return f"refused: {error.reason}"
    except OSError as error:
        return f"closed: {error}"


def authzen(port: int, subject: str, method: str, path: str) -> Answer:
    """Asks the gateway over AuthZEN HTTP what a service without a sidecar would ask before it answers a request."""
    question = {
        "subject": {"type": "Workload", "id": subject},
        "action": {"name": method},
        "resource": {"type": "Path", "id": path, "properties": {"service": "orders"}},
        "context": {"host": "orders", "path": path, "scheme": "http", "protocol": "HTTP/1.1", "headers": {}},
    }
    return over_tcp(
        port, "POST", "/access/v1/evaluation", {"content-type": "application/json"}, json.dumps(question)
    )
