"""Redaction of providers that are made or set later, in processes of their own: by what is imported when, and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

SECRET = "jane.roe" + "@" + "corp.example.com"


def run(program: str, tmp_path: Any, **environ: str) -> tuple[str, str]:
    environ = {**os.environ, "SPANLEDGER_LEDGER": "memory:", "XDG_STATE_HOME": str(tmp_path), **environ}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environ, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


PROGRAM = f"""
import logging, sys
logging.basicConfig(level=logging.WARNING)
import spanledger
{{start}}
assert "opentelemetry.sdk.metrics" not in sys.modules
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
with spanledger.workflow("report for {SECRET}"):
    trace.get_tracer("app").start_span("{SECRET}").end()
metrics.get_meter("app").create_counter("calls").add(1, {{{{"user": "{SECRET}"}}}})
print([span.name for span in spans.get_finished_spans()])
told = reader.get_metrics_data().to_json()
print("{SECRET}" in told, "[EMAIL]" in told, "spanledger.redactions" in told)
"""


def test_our_own_spans_and_metrics_are_recorded_and_redacted_by_providers_set_later(tmp_path: Any) -> None:
    out, err = run(PROGRAM.format(start="spanledger.instrument()"), tmp_path, SPANLEDGER_DEBUG="true")
    assert "'[EMAIL]'" in out
    assert "report for [EMAIL]" in out
    assert out.endswith("False True True\n")
    assert err == ""


def test_what_redacts_from_the_start_waits_for_the_sdks_metrics(tmp_path: Any) -> None:
    """Loading them would cost every program that is started with ``opentelemetry-instrument``."""
    out, _ = run(PROGRAM.format(start="from spanledger import otel; otel.pre_instrument()"), tmp_path, SPANLEDGER_DEBUG="true")
    assert "'[EMAIL]'" in out
    assert out.endswith("False True True\n")


FAILING = f"""
import sys
import spanledger
from spanledger import install
install._patch_plugins = lambda _installation: 1 / 0
spanledger.instrument()
assert not install.status()["installed"]
assert "opentelemetry.sdk.metrics" not in sys.modules
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
MeterProvider([reader]).get_meter("app").create_counter("calls").add(1, {{"user": "{SECRET}"}})
print("{SECRET}" in reader.get_metrics_data().to_json())
"""


def test_an_installation_that_fails_leaves_what_redacts_in_place(tmp_path: Any) -> None:
    assert run(FAILING, tmp_path)[0] == "False\n"


FORKING = f"""
import os, sys
import spanledger
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics._internal import Resource
import opentelemetry.sdk.metrics._internal as internal
internal._get_process_dependent_resource = lambda: Resource({{"process.owner": "{SECRET}"}})
spanledger.instrument()
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
provider.get_meter("app").create_counter("calls").add(1)
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
told = reader.get_metrics_data().to_json()
os._exit(0 if "[EMAIL]" in told and "{SECRET}" not in told else 3)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_what_the_sdk_finds_out_about_a_forked_process_is_redacted(tmp_path: Any) -> None:
    run(FORKING, tmp_path, SPANLEDGER_DEBUG="true")
