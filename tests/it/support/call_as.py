"""Calls Logger/GetLogger on the socket argv[1] as user argv[2] and group argv[3]: one gRPC call, HTTP/2 by hand."""

import os
import socket
import struct
import sys

path, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field that is not indexed (RFC 7541 section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


fields = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/spire.api.server.logger.v1.Logger/GetLogger"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(30)
connection.connect(path)
connection.sendall(
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + frame(4, 0, 0, b"")
    + frame(1, 4, 1, b"".join(literal(*field) for field in fields))
    + frame(0, 1, 1, b"\0\0\0\0\0")
)
# The end of stream 1 is the answer, whatever it is; the test reads it from the records.
buffer = b""
while True:
    while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
        length, kind, flags = int.from_bytes(buffer[:3], "big"), buffer[3], buffer[4]
        stream = int.from_bytes(buffer[5:9], "big")
        if stream == 1 and kind in (0, 1) and flags & 1:
            sys.exit(0)
        buffer = buffer[9 + length :]
    received = connection.recv(65536)
    if not received:
        sys.exit("closed without an answer")
    buffer += received
