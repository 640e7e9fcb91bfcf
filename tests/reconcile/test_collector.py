"""From the engine over OTLP through a real collector into its files, and back: nothing is lost, and what is taken out is missed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from spanledger import install, plugin, settings, step, workflow
from spanledger.ledger.spans import SpanStore
from spanledger.reconcile import files
from spanledger.reconcile.compare import Selection
from spanledger.reconcile.run import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS = 1_500
CONFIG = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters:
  file/plain: {{path: "{folder}/plain/spans.jsonl", append: true, flush_interval: 100ms}}
  file/rotated: {{path: "{folder}/rotated/spans.jsonl", flush_interval: 100ms, rotation: {{max_megabytes: 1, max_backups: 0}}}}
  file/zstd: {{path: "{folder}/zstd/spans.jsonl", flush_interval: 100ms, compression: zstd}}
service:
  pipelines: {{traces: {{receivers: [otlp], exporters: [file/plain, file/rotated, file/zstd]}}}}
  telemetry: {{metrics: {{level: none}}}}
"""


@contextmanager
def collector(program: Path, folder: Path) -> Iterator[str]:
    """A running collector that writes into three folders; its address. What it received is in the files when the context ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("plain", "rotated", "zstd"):
        (folder / name).mkdir()
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(port=port, folder=folder))
    with (folder / "collector.log").open("w") as log:
        process = subprocess.Popen([str(program), "--config", str(config)], stdout=log, stderr=log)
        try:
            wait_for(port, process, folder / "collector.log")
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        finally:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"the collector does not listen: {log.read_text()}")


def work(address: str, url: str) -> None:
    """Plugin calls in workflow runs with retried steps, instrumented as an application is."""
    provider = TracerProvider(resource=Resource.create({"service.name": "app"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(address, insecure=True), max_queue_size=10 * CALLS))
    config = settings.load({"SPANLEDGER_LEDGER": url, "SPANLEDGER_DEBUG": "true", "OTEL_SERVICE_NAME": "app", "HOME": "/nonexistent"})
    install.instrument(config, tracer_provider=provider)

    @plugin(name="search")
    def search(number: int) -> str:
        return f"{number}" + "x" * 100

    try:
        for run in range(CALLS // 50):
            with workflow("answer", execution_id=f"run-{run}"):
                for attempt in range(2):
                    with step("look", attempt=attempt + 1):
                        for number in range(25):
                            search(number)
        assert install.flush(30.0)
    finally:
        install.uninstrument()
        provider.shutdown()


@pytest.mark.stack
def test_what_the_collector_wrote_agrees_and_what_is_taken_out_is_missed(
    binaries: dict[str, Path], books: Any, compared: Any, tmp_path: Path
) -> None:
    with collector(binaries["collector"], tmp_path) as address:
        work(address, books.url)

    def compare(name: str, **selection: Any) -> Any:
        return compared(Sources(books.ledger, "the ledger", files.find([tmp_path / name])), Selection(**selection), 1)

    kinds = ("plain", "rotated", "zstd") if has_zstandard() else ("plain", "rotated")
    for name in kinds:
        found = compare(name)
        assert found.agrees
        assert found.lines["plugin", "operations"] == (CALLS, CALLS)
        assert found.lines["plugin", "plugin"] == (400 * CALLS, 400 * CALLS)
        assert found.differences == {}
    assert len(list((tmp_path / "rotated").iterdir())) > 1, "the file was not rotated"
    one_run = compare("rotated", execution="run-3")
    assert one_run.lines["plugin", "operations"] == (50, 50)
    assert one_run.result.run.agrees

    plain = tmp_path / "plain" / "spans.jsonl"
    first, *rest = plain.read_text().splitlines(keepends=True)
    plain.write_text("".join(rest) + rest[-1][:500])
    lost = {entry_id for entry_id in entry_ids(first) if entry_id}
    found = compare("plain")
    assert set(found.differences) == lost
    assert {tuple(one["kinds"]) for one in found.differences.values()} == {("missing_in_spans",)}
    assert "calls of service app in a row" in next(iter(found.differences.values()))["reason"]
    assert found.result.reading.torn == 1


def has_zstandard() -> bool:
    return files.find_spec("zstandard") is not None


def entry_ids(line: str) -> list[str]:
    """The entry ids of a request, read in another way than the package does."""
    spans = [span for part in json.loads(line)["resourceSpans"] for scope in part["scopeSpans"] for span in scope["spans"]]
    attributes = [{pair["key"]: pair["value"] for pair in span["attributes"]} for span in spans]
    return [one["spanledger.entry.id"]["stringValue"] if "spanledger.entry.id" in one else "" for one in attributes]


def test_the_ledgers_own_span_table_agrees(books: Any, compared: Any, call: Any, span: Any) -> None:
    """The exporter that needs no collector."""
    from spanledger.otel import SpanledgerSpanExporter

    provider = TracerProvider(resource=Resource.create({"service.name": "app"}), shutdown_on_exit=False)
    exporter = SpanledgerSpanExporter()
    exporter._store = SpanStore(books.ledger.path)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    install.instrument(settings.load({"SPANLEDGER_LEDGER": books.url, "HOME": "/nonexistent"}), tracer_provider=provider)

    @plugin(name="search")
    def search() -> int:
        return 1

    try:
        with workflow("answer", execution_id="run"):
            for _ in range(20):
                search()
        assert install.flush(30.0)
    finally:
        install.uninstrument()
        provider.shutdown()
    found = compared(Sources(books.ledger, "the ledger", table=books.ledger.path), Selection(execution="run"), 1)
    assert found.agrees
    assert found.lines["plugin", "operations"] == (20, 20)
    assert found.result.run.agrees
