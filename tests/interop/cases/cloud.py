"""The clouds' own libraries, which get their credentials from `portcullis credential`. Their program is cloud/client.py."""

from __future__ import annotations

from pathlib import Path

from bench import Bench, expect_equal
from cases.case import Case

PROGRAM = str(Path(__file__).resolve().parent.parent / "cloud" / "client.py")
ROLE_SESSION = "arn:aws:sts::123456789012:assumed-role/reader/example.org.cloud"


def runs(cloud: str, expected: str):
    def check(bench: Bench) -> None:
        bundle = bench.scratch / f"cloud-{cloud}.json"
        bundle.write_text(bench.server("bundle show", "-format", "spiffe").ok().stdout)
        with bench.entry("cloud", "portcullis"):
            program = str(bench.tools["portcullis"])
            ran = bench.run("cloud-sdks", PROGRAM, cloud, program, str(bench.workload), str(bundle))
            expect_equal(ran.ok().stdout, expected, f"what the library of {cloud} found")

    return check


AWS = f"method custom-process\ntemporary True\ncaller {ROLE_SESSION}\nkept True\n"
GCP = "token ya29.granted\nsubject spiffe://example.org/cloud\noutput file True\nwithout a gateway True\n"

CASES = (
    Case("botocore assumes a role at moto by our credential_process", "cloud-sdks", runs("aws", AWS), ("portcullis",)),
    Case("google-auth exchanges the token of our executable", "cloud-sdks", runs("gcp", GCP), ("portcullis",)),
)
