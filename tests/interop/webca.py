"""An authority of the Web that only its tests believe, and certificates of `localhost` by it, made with `openssl`."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from bench import Bench

DAYS = "7"
EXTENSIONS = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


@dataclass(frozen=True)
class WebServer:
    """A certificate of `localhost` and 127.0.0.1, and who believes it."""

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server of ours shows it with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def web_server(bench: Bench, home: Path) -> WebServer:
    home.mkdir(parents=True)
    authority_key, authority, key, request, certificate = (
        home / name for name in ("ca.key", "ca.pem", "web.key", "web.csr", "web.pem")
    )
    for made in (authority_key, key):
        bench.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(made)).ok()
    bench.run(
        "openssl", "req", "-x509", "-new", "-key", str(authority_key), "-sha256", "-days", DAYS, "-out", str(authority),
        "-subj", "/CN=Authority of a test", "-addext", "keyUsage=critical,keyCertSign",
    ).ok()  # fmt: skip
    bench.run("openssl", "req", "-new", "-key", str(key), "-subj", "/CN=localhost", "-out", str(request)).ok()
    extensions = home / "web.ext"
    extensions.write_text(EXTENSIONS)
    bench.run(
        "openssl", "x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(authority_key), "-sha256",
        "-set_serial", "1", "-days", DAYS, "-extfile", str(extensions), "-out", str(certificate),
    ).ok()  # fmt: skip
    return WebServer(authority, certificate, key)
