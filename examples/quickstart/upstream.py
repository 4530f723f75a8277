"""The service behind the `orders` sidecar: answers everything with who the gateway says is calling."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Orders(BaseHTTPRequestHandler):
    """Answers any method with the path and the identity header that the gateway set."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for the delayed acknowledgement of its head

    def answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        body = json.dumps({"path": self.path, "caller": self.headers.get("x-portcullis-principal")}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

    def log_message(self, *_: object) -> None:
        """Quiet: the access log is Envoy's."""


class Server(ThreadingHTTPServer):
    """The upstream's server, without a look-up of its own name."""

    allow_reuse_address = True
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "orders", self.server_address[1]


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Orders).serve_forever()
