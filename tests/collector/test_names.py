"""The rules ask for metrics that exist: a name that nobody exposes makes an alarm that never fires, and nothing tells."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from spanledger.telemetry import semconv

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNAL = re.compile(r"_(spans|metric_points|log_records)$")
FOREIGN = re.compile(r"otelcol_\w+|otel_sdk_\w+|prometheus_\w+|up")


def _rules(configuration: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((configuration / "rules" / "spanledger.rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _asked_for(configuration: Path) -> set[str]:
    """The names of metrics in all expressions."""
    found: set[str] = set()
    for rule in _rules(configuration):
        text = re.sub(r'"[^"]*"|\{[^}]*\}|\b(by|without|on|ignoring)\s*\([^)]*\)|\[[^\]]*\]', " ", rule["expr"])
        found |= {word for word in re.findall(r"[a-zA-Z_:][\w:]*", text) if "_" in word or ":" in word or word == "up"}
    functions = {"max_over_time", "min_over_time", "clamp_min", "label_replace", "group_left"}
    return found - functions


def _ours() -> set[str]:
    """The semantic conventions' names of our metrics in Prometheus' form."""
    names = [value for key, value in vars(semconv).items() if key.startswith("METRIC_")]
    flat = [name for value in names for name in (value.values() if isinstance(value, dict) else [value])]
    gauges = set(semconv.METRIC_BUDGETS.values())
    return {name.replace(".", "_") + ("" if name in gauges else "_total") for name in flat}


def test_every_name_is_recorded_or_ours_or_of_a_known_program(configuration: Path) -> None:
    recorded = {rule["record"] for rule in _rules(configuration) if "record" in rule}
    unknown = {name for name in _asked_for(configuration) if name not in recorded | _ours() and not FOREIGN.fullmatch(name)}
    assert unknown == set()


@pytest.fixture
def losing_configuration(tmp_path: Path, configuration: Path) -> Path:
    """The configurations, but Jaeger's queue holds one payload, and counts are also sent to where they are refused for good."""
    copy = tmp_path / "configuration"
    shutil.copytree(configuration, copy)
    gateway = yaml.safe_load((copy / "gateway.yaml").read_text())
    gateway["exporters"]["otlp_grpc/jaeger"]["sending_queue"]["queue_size"] = 1
    gateway["processors"]["tail_sampling"]["decision_wait"] = "1s"
    gateway["processors"]["tail_sampling"]["policies"] = [{"name": "all", "type": "always_sample"}]
    gateway["exporters"]["otlp_http/refused"] = {"endpoint": "http://127.0.0.1:9090/nowhere"}
    gateway["service"]["pipelines"]["metrics/out"]["exporters"].append("otlp_http/refused")
    (copy / "gateway.yaml").write_text(yaml.safe_dump(gateway))
    return copy


@pytest.mark.stack
@pytest.mark.slow
def test_every_foreign_name_is_exposed_by_a_running_stack(
    running: Callable[..., Any], losing_configuration: Path, configuration: Path
) -> None:
    stack = running("agent", "gateway", "prometheus", configuration=losing_configuration)  # no Jaeger: its queue overflows
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    script = Path(__file__).with_name("losing_application.py")
    subprocess.run([sys.executable, script, stack.stack.layout.address("agent_grpc"), nobody], check=True, timeout=60, capture_output=True)
    wanted = {SIGNAL.sub("", name) for name in _asked_for(configuration) if FOREIGN.fullmatch(name)}
    until = time.monotonic() + 60
    while (missing := wanted - _exposed(stack)) and time.monotonic() < until:
        time.sleep(0.5)
    assert missing == set()
    assert stack.query('otel_sdk_processor_span_processed_total{error_type="queue_full"} > 0')
    assert stack.query('otel_sdk_exporter_span_exported_total{error_type!=""} > 0')


def _exposed(stack: Any) -> set[str]:
    """What the collectors expose and what Prometheus knows, whatever signal it is of."""
    return {SIGNAL.sub("", name) for name in stack.exposed("agent_metrics") | stack.exposed("gateway_metrics") | stack.names()}
