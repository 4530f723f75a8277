"""The clouds' own libraries, which get their credentials from `portcullis credential`. Their program is cloud/client.py."""

from __future__ import annotations

from pathlib import Path

from bench import Bench, expect_equal
from cases.case import Case
from webca import web_server

PROGRAM = str(Path(__file__).resolve().parent.parent / "cloud" / "client.py")
TTL = "1500"  # seconds: Azure's libraries need it longer than others do, see docs/cloud.md
ROLE_SESSION = "arn:aws:sts::123456789012:assumed-role/reader/example.org.cloud"


def runs(cloud: str, expected: str):
    def check(bench: Bench) -> None:
        bundle = bench.scratch / f"cloud-{cloud}.json"
        bundle.write_text(bench.server("bundle show", "-format", "spiffe").ok().stdout)
        web = web_server(bench, bench.scratch / f"cloud-{cloud}")
        files = [str(file) for file in (bundle, web.authority, web.certificate, web.key)]
        with bench.entry("cloud", "portcullis", "-jwtSVIDTTL", TTL):
            program = str(bench.tools["portcullis"])
            ran = bench.run("cloud-sdks", PROGRAM, cloud, program, str(bench.workload), *files)
            expect_equal(ran.ok().stdout, expected, f"what the library of {cloud} found")

    return check


AWS = f"method custom-process\ntemporary True\ncaller {ROLE_SESSION}\nkept True\n"
GCP = (
    "token ya29.granted\nsubject spiffe://example.org/cloud\noutput file True\nexchange True True\nwithout a gateway True\n"
)
AZURE = (
    "token ya29.granted\nsubject spiffe://example.org/cloud\noutlives what the library keeps True\nexchange True True\n"
    "with another signature True\n"
)

NEEDS = ("portcullis", "openssl")

CASES = (
    Case("botocore assumes a role at moto by our credential_process", "cloud-sdks", runs("aws", AWS), NEEDS),
    Case("google-auth exchanges the token of our executable", "cloud-sdks", runs("gcp", GCP), NEEDS),
    Case("azure-identity shows the token in the file that we keep", "cloud-sdks", runs("azure", AZURE), NEEDS),
)
