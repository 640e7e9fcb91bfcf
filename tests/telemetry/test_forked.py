"""A forked child reports what it did itself, whatever the SDK keeps of its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from spanledger.telemetry import forked

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PROGRAM = """
import json, os, signal, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
import spanledger

WANTED = ["spanledger.calls", "gen_ai.execute_tool.duration", "gen_ai.workflow.duration", "app"]
sums = InMemoryMetricReader()
differences = InMemoryMetricReader(dict.fromkeys((Counter, Histogram, ObservableCounter), AggregationTemporality.DELTA))
steps = [lambda: metrics.set_meter_provider(MeterProvider([sums, differences])), spanledger.instrument]
for step in steps if sys.argv[1] == "provider first" else reversed(steps):
    step()
of_the_application = metrics.get_meter("app").create_histogram("app")

@spanledger.plugin
def look_up():
    of_the_application.record(1)

def calls(number):
    for _ in range(number):
        with spanledger.workflow("job"):
            look_up()

def told(reader):
    data = reader.get_metrics_data()
    found = [one for each in data.resource_metrics for scope in each.scope_metrics for one in scope.metrics] if data else []
    counts = {one.name: point.value if "calls" in one.name else point.count for one in found for point in one.data.data_points if one.name in WANTED}
    return [counts.get(name) for name in WANTED]

calls(3)
told(sums), told(differences)
calls(2)
told(sums)  # the other one has not told of these
calls(1)  # which is noted, and not recorded
for number in (0, 4):
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        continue
    signal.alarm(60)
    calls(number)
    print(json.dumps([told(sums), told(differences)]), flush=True)
    os._exit(0)
print(json.dumps([told(sums), told(differences)]))
"""


@pytest.mark.parametrize("order", ["provider first", "provider later"])
def test_a_child_begins_at_zero_and_leaves_the_applications_own_metrics_alone(order: str, tmp_path: Any) -> None:
    environ = {"SPANLEDGER_LEDGER": "memory:", "XDG_STATE_HOME": str(tmp_path), "SPANLEDGER_DEBUG": "true"}
    fork_of_threads = "ignore:This process:DeprecationWarning"  # what Python 3.12 and newer say of it
    command = [sys.executable, "-W", fork_of_threads, "-c", PROGRAM, order]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ}, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    idle, busy, parent = map(json.loads, done.stdout.splitlines())
    assert idle == [[None, None, None, 6], [None, None, None, 3]]
    assert busy == [[4, 4, 4, 10], [4, 4, 4, 7]]
    assert parent == [[6, 6, 6, 6], [3, 3, 3, 3]]


def matches(provider: Any) -> list[Any]:
    (storage,) = provider._measurement_consumer._reader_storages.values()
    return [match for matches in storage._instrument_view_instrument_matches.values() for match in matches]


def count(reader: Any) -> int:
    return int(reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].count)


def test_a_lock_that_another_thread_held_does_not_stop_the_child() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("ours").create_histogram("seconds")
    histogram.record(1)
    (match,) = matches(provider)
    (aggregation,) = match._attributes_aggregation.values()
    with match._lock, aggregation._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            forked.begin_at_zero(histogram)
            histogram.record(1)
            os._exit(count(reader))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert count(reader) == 1


@pytest.mark.parametrize("unknown", ["_lock", "_attributes_aggregation"])
def test_an_sdk_that_keeps_its_sums_elsewhere_is_left_alone(unknown: str) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("ours").create_histogram("seconds")
    provider.get_meter("ours").create_histogram("tokens").record(1)
    histogram.record(1)
    first, second = matches(provider)
    held = vars(second).pop(unknown)
    forked.begin_at_zero(histogram)
    forked.begin_at_zero(object())
    vars(second)[unknown] = held
    assert [len(match._attributes_aggregation) for match in (first, second)] == [1, 1]
