"""The MCP server of the orders: two tools, behind an Envoy that asks Portcullis about every call."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Orders(BaseHTTPRequestHandler):
    """Answers calls of tools, and says whom Envoy let through."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for the delayed acknowledgement of its head

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        tool, given = message["params"]["name"], message["params"].get("arguments", {})
        done = {"get_order": "order {order}: 3 lamps", "refund_order": "order {order}: {amount} cents paid back"}[tool]
        said = f"{done.format(**given)} (asked by {self.headers.get('x-portcullis-principal')})"
        result = {"content": [{"type": "text", "text": said}], "isError": False}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: the access log is Envoy's."""


class Server(ThreadingHTTPServer):
    """The server, without a look-up of its own name."""

    allow_reuse_address = True
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "orders", self.server_address[1]


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Orders).serve_forever()
