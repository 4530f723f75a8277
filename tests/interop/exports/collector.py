"""Takes records over HTTP and reads them as strictly as what others have published allows: OpenTelemetry's own protobuf messages,
of which no unknown field is passed over, and the JSON schema of OCSF in the version that an event says it has.

Prints its port, and then a line for each record: `otlp INDEX EVENT-NAME`, `ocsf INDEX CLASS` or `refused WHY`.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jsonschema
from google.protobuf import json_format
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

VALIDATORS: dict[tuple[str, int], jsonschema.protocols.Validator] = {}


def validator(event: dict) -> jsonschema.protocols.Validator:
    version, uid = event["metadata"]["version"], event["class_uid"]
    if (version, uid) not in VALIDATORS:
        schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version))
        schema = schema.get_class_schema(schema.lookup_class_name_from_uid(uid))
        VALIDATORS[version, uid] = jsonschema.Draft202012Validator(schema)
    return VALIDATORS[version, uid]


def of_otlp(body: bytes) -> list[str]:
    request = json_format.Parse(body, ExportLogsServiceRequest())
    lines = []
    for resource in request.resource_logs:
        assert any(attribute.key == "service.name" for attribute in resource.resource.attributes), "no service.name"
        for record in (record for scope in resource.scope_logs for record in scope.log_records):
            assert record.time_unix_nano and record.observed_time_unix_nano and record.severity_number, record
            assert record.body.WhichOneof("value") == "kvlist_value", record
            index = {attribute.key: attribute.value.int_value for attribute in record.attributes}["portcullis.index"]
            lines.append(f"otlp {index} {record.event_name}")
    return lines


def of_ocsf(body: bytes) -> list[str]:
    lines = []
    for event in json.loads(body)["data"]["records"]:
        validator(event).validate(event)
        lines.append(f"ocsf {event['metadata']['uid'].rsplit('/', 1)[1]} {event['class_uid']}")
    return lines


class Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            lines, status = (of_otlp if self.path == "/v1/logs" else of_ocsf)(body), 200
        except Exception as error:  # whatever is wrong with it is what is told
            lines, status = [f"refused {type(error).__name__}: {str(error).splitlines()[0]}"], 500
        print("\n".join(lines), flush=True)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Only records are worth a line."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    print(f"port {server.server_address[1]}", flush=True)
    sys.exit(server.serve_forever())
