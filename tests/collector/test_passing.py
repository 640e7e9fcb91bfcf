"""What the gateway does not count passes it: other metrics unharmed, log records redacted into a file."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stack
RESOURCE = Resource({"service.name": "shop", "service.instance.id": "41111111-1111-4111-8111-111111111111"})


def _eventually(ask: Callable[[], Any]) -> Any:
    until = time.monotonic() + 30
    while not (answer := ask()) and time.monotonic() < until:
        time.sleep(0.2)
    return answer


def test_other_metrics_keep_their_values_labels_and_exemplars(running: Callable[..., Any]) -> None:
    stack = running("agent", "gateway", "prometheus")
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=stack.stack.layout.address("agent_grpc"), insecure=True))
    meters = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    meter = meters.get_meter("tests")
    labels = {"spanledger.activity": "llm", "gen_ai.request.model": "m"}
    with TracerProvider(shutdown_on_exit=False).get_tracer("tests").start_as_current_span("chat") as span:
        meter.create_histogram("gen_ai.client.token.usage", "{token}").record(500, labels)
    meter.create_counter("spanledger.calls", "{call}").add(7, labels)
    meters.shutdown()
    (calls,) = _eventually(lambda: stack.query("spanledger_calls_total"))
    own = {"job": "shop", "instance": RESOURCE.attributes["service.instance.id"]}
    promoted = {"service_name": own["job"], "service_instance_id": own["instance"]}
    assert calls["metric"] == {
        "__name__": "spanledger_calls_total", "spanledger_activity": "llm", "gen_ai_request_model": "m", **own, **promoted,
    }  # fmt: skip
    assert calls["value"][1] == "7"
    (tokens,) = _eventually(lambda: stack.query("gen_ai_client_token_usage_sum"))
    assert tokens["value"][1] == "500"
    exemplars = stack.exemplars("gen_ai_client_token_usage_bucket")
    assert {exemplar["labels"]["trace_id"] for exemplar in exemplars} == {f"{span.get_span_context().trace_id:032x}"}


def test_log_records_go_redacted_into_a_file(running: Callable[..., Any]) -> None:
    stack = running("agent", "gateway")
    logs = LoggerProvider(RESOURCE, shutdown_on_exit=False)
    exporter = OTLPLogExporter(endpoint=stack.stack.layout.address("agent_grpc"), insecure=True)
    logs.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    attributes = {"user": "bob@example.org", "gen_ai.usage.input_tokens": 4111111111111111}
    logs.get_logger("tests").emit(
        LogRecord(timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, body="from ada@example.org", attributes=attributes)
    )
    logs.shutdown()
    file = stack.directory / "logs" / "logs.jsonl"
    _eventually(lambda: file.exists() and file.read_text())
    (record,) = json.loads(file.read_text())["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    told = {pair["key"]: pair["value"] for pair in record["attributes"]}
    assert record["body"] == {"stringValue": "from ****"}
    assert told["user"] == {"stringValue": "****"}
    assert told["gen_ai.usage.input_tokens"] == {"intValue": "4111111111111111"}
