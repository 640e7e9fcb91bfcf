"""The configurations are valid for the programs they are for, and keep what the counts rest on."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLLECTORS = ("agent", "gateway")
# Their ids are in both the stock contrib distribution 0.158 and ours (collector/builder-config.yaml).
ALLOWED = {
    "extensions": {"health_check", "file_storage"},
    "receivers": {"otlp"},
    "connectors": {"forward", "signal_to_metrics"},
    "processors": {"memory_limiter", "transform", "delta_to_cumulative", "redaction", "tail_sampling"},
    "exporters": {"otlp_grpc", "otlp_http", "file"},
}


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.stack
@pytest.mark.parametrize("name", COLLECTORS)
def test_the_collector_accepts_its_configuration(name: str, configuration: Path, binaries: dict[str, Path]) -> None:
    said = subprocess.run(
        [binaries["collector"], "validate", "--config", configuration / f"{name}.yaml"], capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stderr


@pytest.mark.stack
def test_prometheus_accepts_its_configuration_and_the_rules(configuration: Path, binaries: dict[str, Path]) -> None:
    said = subprocess.run(
        [binaries["promtool"], "check", "config", configuration / "prometheus.yaml"], capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.stack
def test_jaeger_and_alertmanager_start_with_their_configurations(running: Callable[..., Any]) -> None:
    states = {state.name: state.state for state in running("jaeger", "alertmanager").stack.status()}
    assert (states["jaeger"], states["alertmanager"]) == ("healthy", "healthy")


@pytest.mark.parametrize("name", COLLECTORS)
def test_only_components_that_the_contrib_distribution_has_too(name: str, configuration: Path) -> None:
    config = _read(configuration / f"{name}.yaml")
    for kind, allowed in ALLOWED.items():
        assert {component.split("/")[0] for component in config.get(kind) or {}} <= allowed


@pytest.mark.parametrize("name", COLLECTORS)
def test_network_exporters_keep_what_they_could_not_send(name: str, configuration: Path) -> None:
    exporters = _read(configuration / f"{name}.yaml")["exporters"]
    network = {key: value for key, value in exporters.items() if key.startswith("otlp")}
    assert network
    for exporter in network.values():
        assert exporter["sending_queue"]["storage"] == "file_storage/queue"
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"


def test_counting_is_before_everything_that_drops(configuration: Path) -> None:
    pipelines = _read(configuration / "gateway.yaml")["service"]["pipelines"]
    assert pipelines["traces/count"]["processors"] == ["transform/exclusive"]
    assert "tail_sampling" not in pipelines["traces/store"]["processors"]
    assert "file/spans" in pipelines["traces/store"]["exporters"]
    assert not any("batch" in processor for pipeline in pipelines.values() for processor in pipeline["processors"])


@pytest.mark.parametrize("name", COLLECTORS)
def test_everything_listens_on_loopback_unless_told_otherwise(name: str, configuration: Path) -> None:
    for line in (configuration / f"{name}.yaml").read_text().splitlines():
        if match := re.search(r"\bendpoint: (\S+)", line):
            assert re.fullmatch(r"\$\{env:SPANLEDGER_[A-Z_]+:-(http://)?127\.0\.0\.1:\d+(/\S*)?\}", match[1]), line


def test_compose_mounts_files_that_exist_and_pins_its_images(configuration: Path) -> None:
    services = _read(configuration / "compose.yaml")["services"]
    assert {"agent", "gateway", "jaeger", "prometheus", "alertmanager"} <= set(services)
    for service in services.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert service["network_mode"] == "host"
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (configuration / source).exists(), volume


def test_alarms_are_labelled_and_say_what_to_do(configuration: Path) -> None:
    groups = _read(configuration / "rules" / "spanledger.rules.yaml")["groups"]
    alarms = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert len(alarms) == len({alarm["alert"] for alarm in alarms})
    for alarm in alarms:
        assert alarm["labels"]["severity"] in {"critical", "warning"}
        assert alarm["labels"]["audit"] == "true", f"{alarm['alert']} would not be recorded"
        assert set(alarm["annotations"]) == {"summary", "runbook"}


def test_every_alarm_has_a_test_in_which_it_fires(configuration: Path) -> None:
    groups = _read(configuration / "rules" / "spanledger.rules.yaml")["groups"]
    alarms = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tests = _read(configuration / "rules" / "spanledger.tests.yaml")["tests"]
    fired = {case["alertname"] for test in tests for case in test.get("alert_rule_test", ()) if case["exp_alerts"]}
    assert fired == alarms


@pytest.mark.stack
@pytest.mark.slow  # it simulates two days
def test_the_rules_find_what_is_wrong_and_nothing_else(configuration: Path, binaries: dict[str, Path]) -> None:
    tests = configuration / "rules" / "spanledger.tests.yaml"
    said = subprocess.run([binaries["promtool"], "test", "rules", tests], capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stdout + said.stderr
