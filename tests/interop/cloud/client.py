"""Has the clouds' own libraries run `portcullis credential`: `client.py CLOUD PORTCULLIS SOCKET BUNDLE AUTHORITY CERTIFICATE KEY`, a
line for each thing that must hold. AWS is moto. Google's and Microsoft's token services are servers of this program that verify
tokens by BUNDLE, the JWT keys of the trust domain as a SPIFFE bundle document; Microsoft's is on HTTPS, with the CERTIFICATE of
`localhost` that AUTHORITY has signed.
"""

from __future__ import annotations

import http.server
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROLE = "arn:aws:iam::123456789012:role/reader"
PROVIDER = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/spiffe"
JWT = "urn:ietf:params:oauth:token-type:jwt"
TENANT, APPLICATION = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
FEDERATED = "api://AzureADTokenExchange"
VAULT = "https://vault.azure.net/.default"
READ_AGAIN = 600  # seconds for which azure-identity uses what it read of the token's file


def aws(portcullis: str, socket: str, *_: str) -> None:
    from botocore.session import Session
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        command = f"{portcullis} credential aws --role-arn {ROLE} --endpoint {endpoint}/ --socketPath {socket}"
        config = Path(os.environ["HOME"], "aws-config")
        config.write_text(f"[default]\nregion = eu-west-1\ncredential_process = {command} --duration 15m\n")
        os.environ["AWS_CONFIG_FILE"] = str(config)
        session = Session()
        credentials = session.get_credentials()
        print("method", credentials.method)
        frozen = credentials.get_frozen_credentials()
        print("temporary", bool(frozen.access_key and frozen.secret_key and frozen.token))
        caller = session.create_client("sts", endpoint_url=endpoint).get_caller_identity()
        print("caller", caller["Arn"])
        again = Session().get_credentials().get_frozen_credentials()
        print("kept", again.access_key == frozen.access_key)
    finally:
        server.stop()


def gcp(portcullis: str, socket: str, bundle: str, *_: str) -> None:
    from google.auth import pluggable
    from google.auth.exceptions import RefreshError
    from google.auth.transport.requests import Request

    with TokenService("subject_token", PROVIDER, bundle) as service:
        url = f"http://127.0.0.1:{service.port}/v1/token"
        output = Path(os.environ["HOME"], "google.json")
        program = [portcullis, "credential", "gcp", "--provider", PROVIDER, "--socketPath", socket, "--token-url", url]
        configured = run([*program, "--print-config", "--output-file", str(output)])
        config = Path(os.environ["HOME"], "google-config.json")
        config.write_text(configured)
        os.environ["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] = "1"
        scopes = ["https://www.googleapis.com/auth/cloud-platform"]
        # The general loader would ask Google for the name of the project.
        credentials = pluggable.Credentials.from_file(str(config), scopes=scopes)
        credentials.refresh(Request())
        print("token", credentials.token)
        print("subject", service.subject)
        print("output file", json.loads(output.read_text())["success"])
        exchanged = json.loads(run([*program, "--exchange", "--no-cache"]))
        print("exchange", exchanged["access_token"] == credentials.token, service.asked_the_same())
        output.unlink()
        nowhere = "/nowhere/workload.sock --timeout 1s"  # it is waited for
        config.write_text(config.read_text().replace(socket, nowhere))
        broken = pluggable.Credentials.from_file(str(config), scopes=scopes)
        try:
            broken.refresh(Request())
        except RefreshError as error:
            print("without a gateway", "UNAVAILABLE" in str(error))


def azure(portcullis: str, socket: str, bundle: str, authority: str, certificate: str, key: str) -> None:
    import jwt
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import WorkloadIdentityCredential

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with TokenService("client_assertion", FEDERATED, bundle, context) as service:
        url = f"https://localhost:{service.port}"
        file = Path(os.environ["HOME"], "azure-token")
        os.environ |= {
            "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": APPLICATION, "AZURE_AUTHORITY_HOST": url,
            "AZURE_FEDERATED_TOKEN_FILE": str(file),
        }  # fmt: skip
        program = [portcullis, "credential", "azure", "--socketPath", socket]
        with running([*program, "--watch"], file):
            # Microsoft's list of its own clouds is on the network.
            options: dict[str, Any] = {"disable_instance_discovery": True, "connection_verify": authority}
            token = WorkloadIdentityCredential(**options).get_token(VAULT)
            print("token", token.token)
            print("subject", service.subject)
            ends = jwt.decode(file.read_text(), options={"verify_signature": False})["exp"]
            print("outlives what the library keeps", ends - time.time() > READ_AGAIN)
            exchanged = json.loads(run([*program, "--exchange", "--no-cache", "--scope", VAULT, "--ca-file", authority]))
            print("exchange", exchanged["access_token"] == token.token, service.asked_the_same())
        file.write_text(file.read_text()[:-8] + "AAAAAAAA")
        try:
            WorkloadIdentityCredential(**options).get_token(VAULT)
        except ClientAuthenticationError as error:
            print("with another signature", "invalid_grant" in str(error))


def run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def running(command: list[str], file: Path) -> Iterator[None]:
    """A program that keeps a file, from when that is there."""
    process = subprocess.Popen(command)
    try:
        while not file.exists():
            assert process.poll() is None, f"it ended with {process.returncode}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


class TokenService:
    """A token service as Google's and Microsoft's, that takes tokens for one audience in one field of the form."""

    def __init__(self, field: str, audience: str, bundle: str, context: ssl.SSLContext | None = None) -> None:
        import jwt

        document = json.loads(Path(bundle).read_text())
        self.keys = {key["kid"]: jwt.PyJWK(key | {"use": "sig", "alg": "ES256"}) for key in document["keys"] if "kid" in key}
        self.field = field
        self.audience = audience
        self.subject = ""
        self.forms: list[dict[str, str]] = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"service": self}))
        self.port = self.server.server_port
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self) -> TokenService:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.server.shutdown()

    def token(self, form: dict[str, str]) -> dict[str, object]:
        import jwt

        self.forms.append(form)
        if self.field == "subject_token":
            assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange", form
            assert (form["audience"], form["subject_token_type"]) == (PROVIDER, JWT), form
        else:
            assert (form["grant_type"], form["client_id"]) == ("client_credentials", APPLICATION), form
        key = self.keys[jwt.get_unverified_header(form[self.field])["kid"]]
        self.subject = jwt.decode(form[self.field], key.key, algorithms=["ES256"], audience=self.audience)["sub"]
        return {
            "access_token": "ya29.granted", "token_type": "Bearer", "expires_in": 3600,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }  # fmt: skip

    def asked_the_same(self) -> bool:
        """Whether the cloud's library said all that we said, but for the token, which is another each time."""
        theirs, ours = ({name: value for name, value in form.items() if name != self.field} for form in self.forms[-2:])
        return ours == {name: theirs.get(name) for name in ours}

    def metadata(self) -> dict[str, object]:
        """What MSAL looks up of a tenant before it asks for tokens."""
        base = f"https://localhost:{self.port}/{TENANT}"
        return {
            "issuer": f"{base}/v2.0", "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        }  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    service: TokenService

    def do_GET(self) -> None:  # noqa: N802, that is how the library calls it
        self.answer(200, self.service.metadata())

    def do_POST(self) -> None:  # noqa: N802
        import jwt

        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            self.answer(200, self.service.token(dict(urllib.parse.parse_qsl(body.decode()))))
        except (AssertionError, KeyError, jwt.PyJWTError) as error:
            self.answer(400, {"error": "invalid_grant", "error_description": repr(error)})

    def answer(self, status: int, contents: dict[str, object]) -> None:
        text = json.dumps(contents).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_arguments: object) -> None:
        pass


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "XDG_"))]:
            del os.environ[name]
        os.environ["HOME"] = home
        {"aws": aws, "azure": azure, "gcp": gcp}[sys.argv[1]](*sys.argv[2:])
