"""Installing anew on the same providers: the metrics are those of the new installation."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

import spanledger
from spanledger import install, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    yield reader
    install.uninstrument()


@spanledger.plugin(name="tool")
def tool() -> None:
    """Does nothing."""


def calls(reader: InMemoryMetricReader) -> int:
    data = reader.get_metrics_data()
    assert data is not None
    metrics = [metric for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics]
    return sum(int(point.value) for metric in metrics if metric.name == "spanledger.calls" for point in metric.data.data_points)


def test_a_second_installation_tells_its_own_counts_and_leaves_no_thread(reader: InMemoryMetricReader) -> None:
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    config = settings.load({"SPANLEDGER_LEDGER": "memory:", "SPANLEDGER_DEBUG": "true", "HOME": "/nonexistent"})
    counted = []
    before = threading.active_count()
    for number in (1, 3, 2):
        install.instrument(config, tracer_provider=tracers, meter_provider=meters)
        for _ in range(number):
            tool()
        counted.append(calls(reader))
        install.uninstrument()
    assert counted == [1, 3, 2]
    names = [thread.name for thread in threading.enumerate() if thread.is_alive()]
    assert names.count("spanledger-reaper") <= 1, "the last one may be ending still"
    assert threading.active_count() <= before + 1
