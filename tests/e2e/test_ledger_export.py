"""``spanledger ledger export`` against a local OTLP receiver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, Hold, Unit, Usage

PRIVATE = "jane.roe" + "@" + "corp.example.com"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[ExportMetricsServiceRequest] = []
        self.came = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.requests.append(ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.server.came.set()

    def log_message(self, *_args: Any) -> None:
        """Silent."""


@pytest.fixture
def receiver() -> Any:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def path(tmp_path: Any) -> Any:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    entry = Entry(
        "a",
        1.0,
        Activity.LLM,
        "openai",
        "chat",
        "gpt-5",
        service="shop",
        usage=Usage(100, 20, reasoning=5),
        cost=Cost(77, CostStatus.EXACT),
    )
    ledger.settle(entry, [(Hold("DAY", "DAY", "customer=acme", Unit.USD, 1000), 77)])
    ledger.close()
    return tmp_path / "ledger.db"


def command(path: Any, url: str, *options: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    arguments = [sys.executable, "-m", "spanledger.cli", "ledger", "export", "--ledger", f"sqlite:///{path}", *options]
    return subprocess.Popen(arguments, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def points(request: ExportMetricsServiceRequest) -> dict[tuple[str, ...], int]:
    found = {}
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in (*metric.sum.data_points, *metric.gauge.data_points):
                    labels = {a.key: a.value.string_value for a in point.attributes}
                    found[metric.name, labels.get("spanledger.service", ""), labels.get("spanledger.token.type", "")] = point.as_int
    return found


def test_the_sums_are_sent_once(receiver: Any, path: Any) -> None:
    process = command(path, receiver.url, "--once")
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    (request,) = receiver.requests
    found = points(request)
    assert found["spanledger.recon.tokens", "shop", "input"] == 100
    assert found["spanledger.recon.tokens", "shop", "output"] == 15
    assert found["spanledger.recon.tokens", "shop", "reasoning"] == 5
    assert found["spanledger.recon.cost", "shop", ""] == 77
    assert found["spanledger.recon.operations", "shop", ""] == 1
    assert found["spanledger.budget.spent", "", ""] == 77
    assert "acme" not in str(request), "a customer is no label"


def test_what_is_sent_is_redacted_as_in_the_application(receiver: Any, path: Any, monkeypatch: Any) -> None:
    ledger = SqliteLedger(path)
    ledger.settle(Entry("b", 2.0, Activity.LLM, "openai", "chat", "gpt-5", service=f"mailer of {PRIVATE}", usage=Usage(1, 1)), [])
    ledger.close()
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"owner={PRIVATE}")
    process = command(path, receiver.url, "--once")
    assert process.communicate(timeout=60) == ("", "")
    assert PRIVATE not in str(receiver.requests)
    assert points(receiver.requests[0])["spanledger.recon.operations", "mailer of [EMAIL]", ""] == 1
    assert points(receiver.requests[0])["spanledger.recon.operations", "shop", ""] == 1


def test_a_collector_that_is_away_is_said(path: Any) -> None:
    process = command(path, "http://127.0.0.1:9", "--once")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in errors


def test_it_goes_on_until_it_is_stopped_and_sends_a_last_time(receiver: Any, path: Any) -> None:
    process = command(path, receiver.url, "--interval", "1")
    assert receiver.came.wait(60)
    before = len(receiver.requests)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert len(receiver.requests) > before
    process.communicate()


def test_it_waits_for_a_ledger_that_is_not_there_yet(receiver: Any, path: Any) -> None:
    elsewhere = path.rename(path.with_name("other.db"))
    process = command(path, receiver.url, "--interval", "1")
    assert process.stderr is not None
    assert "there is no file" in process.stderr.readline()
    assert not path.exists()
    elsewhere.rename(path)
    assert receiver.came.wait(60)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_it_is_stopped_while_it_waits(receiver: Any, tmp_path: Any) -> None:
    process = command(tmp_path / "none.db", receiver.url)
    assert process.stderr is not None
    assert "waiting for it" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert receiver.requests == []


def test_memory_cannot_be_exported() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "spanledger.cli", "ledger", "export", "--ledger", "memory:"], capture_output=True, text=True
    )
    assert process.returncode == 2
    assert "memory: belongs to one process" in process.stderr
