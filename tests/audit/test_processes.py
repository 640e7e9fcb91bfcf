"""``spanledger audit serve`` as people run it: starts, writes, ends; several at once on one ledger; log records by OTLP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from spanledger import settings as config
from spanledger.audit import views
from spanledger.audit.emit import Emitter
from spanledger.audit.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spanledger.cli", "audit", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_it_starts_writes_and_ends(process, post, payload, alert, ledger) -> None:
    running = process()
    assert post(running.url, payload(alert())).status == 200
    code, logged = running.stop()
    assert code == 0
    assert logged.splitlines()[-1].endswith(
        "INFO spanledger: audit record 1: SpanledgerDiscrepancy/1a30ba71cca2921f/2026-02-06T13:08:45.828000Z/firing"
    )
    assert [record.sequence for record in ledger.audit()] == [1]


def test_two_processes_and_a_restart_write_once(process, post, payload, alert, ledger) -> None:
    alerts = [alert(fingerprint=f"{number:016x}", status=status) for number in range(10) for status in ("firing", "resolved")]
    running = [process(), process()]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: post(running[number % 2].url, payload(*alerts[number:], *alerts[:number])), range(8)))
    assert [one.stop()[0] for one in running] == [0, 0]
    again = post(process().url, payload(*alerts))
    assert sum(reply.body["written"] for reply in replies) == 20
    assert (again.body["written"], again.body["known"]) == (0, 20)
    verdict = verify(ledger.audit())
    assert (verdict.whole, verdict.records) == (True, 20)


def test_a_request_under_way_is_finished(process, post, payload, alert, ledger, until) -> None:
    """The request's head is there when the signal comes, its body is not."""
    running = process()
    address = ("127.0.0.1", urlsplit(running.url).port or 0)
    body = json.dumps(payload(alert())).encode()

    def closed() -> bool:
        try:
            socket.create_connection(address, timeout=60).close()
        except OSError:
            return True
        return False

    with socket.create_connection(address, timeout=60) as connection:
        head = f"POST /alerts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:10])
        assert post(running.url.replace("/alerts", "/health"), b"", "GET").status == 200  # so that the other one is being read, too
        running.process.terminate()
        until(closed, "nothing new is accepted")
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(1)
        connection.sendall(body[10:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.0 200")
    assert running.stop()[0] == 0
    assert len(list(ledger.audit())) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "SPANLEDGER_AUDIT_TOKEN: is not set, but other machines can reach --host 0.0.0.0"),
        (("--ledger", "memory:"), "memory: belongs to one process"),
        (("--host", "192.0.2.1"), "SPANLEDGER_AUDIT_TOKEN"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    result = serve("--port", "0", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("spanledger: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_taken_port_is_said_in_one_line(process) -> None:
    port = process().url.split(":")[2].split("/")[0]
    result = serve("--port", port)
    assert result.returncode == 2
    assert result.stderr.startswith(f"spanledger: --host 127.0.0.1 --port {port}: cannot listen there: ")
    assert result.stderr.endswith("; expected an address of this machine and a free port\n")
    assert result.stderr.count("\n") == 1


# --- log records


class Collector:
    """Takes OTLP log records by HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportLogsServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append(ExportLogsServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def records(self) -> list[Any]:
        return [
            record for request in self.requests for of in request.resource_logs for scope in of.scope_logs for record in scope.log_records
        ]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"])
def test_each_record_is_sent_once_as_a_log_record(process, post, payload, alert, ledger, collector: Collector, variable: str) -> None:
    url = collector.url + ("/v1/logs" if "LOGS" in variable else "")
    running = process(
        **{variable: url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_RESOURCE_ATTRIBUTES": "owner=jane@example.com"}
    )
    for _ in range(2):
        post(running.url, payload(alert(summary="ask jane@example.com")))
    assert running.stop()[0] == 0
    (sent,), (record,) = collector.records(), ledger.audit()
    assert (sent.event_name, sent.severity_number, sent.severity_text) == ("spanledger.audit", 21, "CRITICAL")
    body = plain(sent.body)
    assert {name: body[name] for name in ("sequence", "key", "previous", "hash")} == {
        "sequence": 1, "key": record.key, "previous": record.previous, "hash": record.hash
    }  # fmt: skip
    assert body["text"] == views.records_json([record])[0]["record"]
    resource = {pair.key: plain(pair.value) for pair in collector.requests[0].resource_logs[0].resource.attributes}
    assert (resource["service.name"], resource["owner"]) == ("spanledger-audit", "[EMAIL]")


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "no address at all", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:9", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonexistent.pem"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_COMPRESSION": "nonsense"},
    ],
    ids=["grpc", "http", "nonsense", "no certificate", "no exporter"],
)
@pytest.mark.slow
def test_a_collector_that_is_away_costs_no_record(process, post, payload, alert, ledger, environment: dict[str, str]) -> None:
    running = process(**environment)
    replies = [post(running.url, payload(alert(fingerprint=f"{number:016x}"))) for number in range(3)]
    assert [(reply.status, reply.body["written"]) for reply in replies] == [(200, 1)] * 3
    assert running.stop()[0] == 0
    assert len(list(ledger.audit())) == 3


def test_a_copy_that_cannot_be_sent_is_told_and_hurts_nobody(
    serving, post, payload, alert, ledger, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def get_logger(self, *_: Any) -> Any:
            message = "the SDK failed"
            raise RuntimeError(message)

    emitter = Emitter(config.load({"HOME": "/nonexistent"}))
    emitter._provider = Broken()  # type: ignore[assignment]
    assert post(serving(ledger, emitter=emitter), payload(alert())).status == 200
    assert "audit record 1 is not sent as a log record (RuntimeError)" in caplog.text
    assert len(list(ledger.audit())) == 1
