"""Has the clouds' own libraries run `portcullis credential`: `client.py CLOUD PORTCULLIS SOCKET BUNDLE`, a line for each thing
that must hold. AWS is moto, Google's token service is a server of this program that verifies tokens by BUNDLE, the JWT keys of
the trust domain as a SPIFFE bundle document.
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path

ROLE = "arn:aws:iam::123456789012:role/reader"
PROVIDER = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/spiffe"
JWT = "urn:ietf:params:oauth:token-type:jwt"


def aws(portcullis: str, socket: str, _bundle: str) -> None:
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


def gcp(portcullis: str, socket: str, bundle: str) -> None:
    from google.auth import pluggable
    from google.auth.exceptions import RefreshError
    from google.auth.transport.requests import Request

    with TokenService(json.loads(Path(bundle).read_text())) as service:
        output = Path(os.environ["HOME"], "google.json")
        options = ["--print-config", "--provider", PROVIDER, "--socketPath", socket, "--token-url", service.url]
        made = subprocess.run(
            [portcullis, "credential", "gcp", *options, "--output-file", str(output)], check=True, capture_output=True
        )
        config = Path(os.environ["HOME"], "google-config.json")
        config.write_bytes(made.stdout)
        os.environ["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] = "1"
        scopes = ["https://www.googleapis.com/auth/cloud-platform"]
        # The general loader would ask Google for the name of the project.
        credentials = pluggable.Credentials.from_file(str(config), scopes=scopes)
        credentials.refresh(Request())
        print("token", credentials.token)
        print("subject", service.subject)
        print("output file", json.loads(output.read_text())["success"])
        output.unlink()
        config.write_text(config.read_text().replace(socket, "/nowhere/workload.sock"))
        broken = pluggable.Credentials.from_file(str(config), scopes=scopes)
        try:
            broken.refresh(Request())
        except RefreshError as error:
            print("without a gateway", "UNAVAILABLE" in str(error))


class TokenService:
    """A token service as Google's, for one provider."""

    def __init__(self, bundle: dict[str, list[dict[str, str]]]) -> None:
        import jwt

        keys = {key["kid"]: jwt.PyJWK(key | {"use": "sig", "alg": "ES256"}) for key in bundle["keys"] if "kid" in key}
        service = self
        self.subject = ""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                form = dict(urllib.parse.parse_qsl(body.decode()))
                try:
                    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange", form
                    assert (form["audience"], form["subject_token_type"]) == (PROVIDER, JWT), form
                    token = form["subject_token"]
                    key = keys[jwt.get_unverified_header(token)["kid"]]
                    claims = jwt.decode(token, key.key, algorithms=["ES256"], audience=PROVIDER)
                    service.subject = claims["sub"]
                    answer: dict[str, object] = {
                        "access_token": "ya29.granted", "token_type": "Bearer", "expires_in": 3600,
                        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    }  # fmt: skip
                    status = 200
                except (AssertionError, KeyError, jwt.PyJWTError) as error:
                    answer, status = {"error": "invalid_grant", "error_description": repr(error)}, 400
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/token"

    def __enter__(self) -> TokenService:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.server.shutdown()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "XDG_"))]:
            del os.environ[name]
        os.environ["HOME"] = home
        {"aws": aws, "gcp": gcp}[sys.argv[1]](*sys.argv[2:])
