"""A bundle endpoint that does as it is told, however wrong that is."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:  # noqa: N802, that is how the library calls it
        self.server.asked += 1
        try:
            self.server.behaviour(self)
        except OSError:
            pass  # whoever asked has had enough

    def log_message(self, *_: Any) -> None:
        pass


class Endpoint(ThreadingHTTPServer):
    """Serves on a port of loopback; how is `behaviour`, which may be another one for each request."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.context = context
        self.behaviour: Behaviour = silent
        self.asked = 0
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.server_port}/"

    def finish_request(self, request: Any, client_address: Any) -> None:
        # The handshake is here, in a thread of its own, so that a caller who leaves it half done holds up nobody.
        try:
            if self.context:
                request = self.context.wrap_socket(request, server_side=True)
            self.RequestHandlerClass(request, client_address, self)
        except OSError:
            pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def endpoint(context: ssl.SSLContext | None) -> Iterator[Endpoint]:
    server = Endpoint(context)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()


def silent(request: Request) -> None:
    """Takes the question and never says anything."""
    request.server.ended.wait()


def dripping(request: Request) -> None:
    """Promises a document and sends a byte of it twice a second."""
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    while not request.server.ended.wait(0.5):
        request.wfile.write(b" ")


def document(contents: dict[str, Any]) -> Behaviour:
    def serve(request: Request) -> None:
        body = json.dumps(contents).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return serve


def endless(megabytes: int, contents: dict[str, Any]) -> Behaviour:
    """A good document with so much of nothing in it, of a length that is not said before."""

    def serve(request: Request) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(json.dumps(contents).encode())
        for _ in range(megabytes):
            request.wfile.write(b" " * 1_000_000)

    return serve


def raw(answer: bytes, again: bytes = b"") -> Behaviour:
    """Answers with these bytes, and with `again` again and again, if there is something in it."""

    def serve(request: Request) -> None:
        request.wfile.write(answer)
        while again and not request.server.ended.wait(0.01):
            request.wfile.write(again)

    return serve


def redirecting(location: str) -> Behaviour:
    def serve(request: Request) -> None:
        request.send_response(302)
        request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return serve
