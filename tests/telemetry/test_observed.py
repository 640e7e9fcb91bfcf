"""Installing anew on the same provider: what was counted goes on, and the rest is told by the new installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

import spanledger
from spanledger import install, settings
from spanledger.telemetry import observed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    yield reader
    install.uninstrument()


@spanledger.plugin(name="tool")
def tool() -> None:
    """Does nothing."""


def calls(number: int) -> None:
    for _ in range(number):
        with spanledger.workflow("job"):
            tool()


def install_on(meters: MeterProvider, ledger: str = "memory:") -> None:
    config = settings.load({"SPANLEDGER_LEDGER": ledger, "SPANLEDGER_DEBUG": "true", "HOME": "/nonexistent"})
    install.instrument(config, tracer_provider=TracerProvider(shutdown_on_exit=False), meter_provider=meters)


def told(reader: InMemoryMetricReader) -> list[int]:
    """Calls by our counter; then operations as the process counts them, as its runs do, and as the ledger does."""
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: metric.data.data_points for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics
    }
    operations: Any = {point.attributes["spanledger.source"]: point.value for point in found["spanledger.recon.operations"]}
    return [sum(point.value for point in found["spanledger.calls"]), *(operations[source] for source in ("sdk", "execution", "ledger"))]


def test_counts_go_on_and_no_thread_is_left(reader: InMemoryMetricReader) -> None:
    meters, counted = MeterProvider([reader], shutdown_on_exit=False), []
    before = threading.active_count()
    for number in (1, 3, 2):
        install_on(meters)
        calls(number)
        counted.append(told(reader))
        install.uninstrument()
        assert told(reader) == counted[-1]
    assert counted == [[1, 1, 1, 1], [4, 4, 4, 3], [6, 6, 6, 2]], "each has a ledger of its own"
    names = [thread.name for thread in threading.enumerate() if thread.is_alive()]
    assert names.count("spanledger-reaper") <= 1, "the last one may be ending still"
    assert threading.active_count() <= before + 1


def test_what_was_not_collected_before_is_told_later(reader: InMemoryMetricReader, tmp_path: Any) -> None:
    meters = MeterProvider([reader], shutdown_on_exit=False)
    for number in (3, 1):
        install_on(meters, f"sqlite:///{tmp_path}/ledger.db")
        calls(number)
        install.uninstrument()
    install_on(meters, f"sqlite:///{tmp_path}/ledger.db")
    assert told(reader) == [4, 4, 4, 4]


def test_another_provider_counts_for_itself(reader: InMemoryMetricReader) -> None:
    other, meters = InMemoryMetricReader(), MeterProvider([reader], shutdown_on_exit=False)
    others = MeterProvider([other], shutdown_on_exit=False)
    for provider, number in ((meters, 3), (others, 1), (meters, 2)):
        install_on(provider)
        calls(number)
        install.uninstrument()
    assert (told(reader)[:3], told(other)[:3]) == ([5, 5, 5], [1, 1, 1])


PROGRAM = """
import json, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import spanledger

reader = InMemoryMetricReader()
provider = MeterProvider([reader])

@spanledger.plugin
def tool():
    pass

def call():
    with spanledger.workflow("job"):
        tool()

def again(given=None):
    spanledger.uninstrument()
    spanledger.instrument(meter_provider=given)
    call()

for step in sys.argv[1:]:
    {"set": lambda: metrics.set_meter_provider(provider), "again": again, "given": lambda: again(provider)}[step]()
data = reader.get_metrics_data()
found = {metric.name: metric.data.data_points for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics}
counts = {point.attributes["spanledger.source"]: point.value for point in found["spanledger.recon.operations"]}
calls = sum(point.value for point in found["spanledger.calls"])
print(json.dumps([calls, counts["sdk"], counts["execution"], found["gen_ai.workflow.duration"][0].count]))
"""


@pytest.mark.parametrize(
    ("steps", "counted"),
    [
        ("again again set again", [3, 3, 3, 1]),  # histograms go nowhere before there is a provider
        ("again set again again", [3, 3, 3, 2]),
        ("set again given again", [3, 3, 3, 3]),
        ("given set again given", [3, 3, 3, 3]),
        ("again given set again", [2, 2, 2, 2]),  # the first one had no provider yet, and the second one its own
    ],
)
def test_the_global_provider_is_the_same_before_and_after_it_is_set(steps: str, counted: list[int], tmp_path: Any) -> None:
    environ = {"SPANLEDGER_LEDGER": "memory:", "XDG_STATE_HOME": str(tmp_path), "SPANLEDGER_DEBUG": "true"}
    command = [sys.executable, "-c", PROGRAM, *steps.split()]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ}, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == counted


def test_a_provider_that_has_no_hash() -> None:
    class Unhashable(metrics.NoOpMeterProvider):
        __hash__ = None  # type: ignore[assignment]  # as a dataclass

    provider = Unhashable()
    first = observed.of(provider)
    assert observed.of(provider) is first
