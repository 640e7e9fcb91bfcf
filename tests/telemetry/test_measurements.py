"""Labels of metrics are redacted like attributes of spans, whoever measures and whichever reader collects."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from spanledger.redaction.redactor import Redactor
from spanledger.telemetry.measurements import redact_metrics

JANE, JOE = ("jane.roe" + "@" + "corp.example.com", "joe.doe" + "@" + "corp.example.com")


def redacting(*readers: Any, redactor: Redactor | None = None, errors: Any = None) -> MeterProvider:
    provider = MeterProvider(readers, resource=Resource({"owner": JANE}), exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False)
    assert redact_metrics(provider, redactor or Redactor(), (errors if errors is not None else []).append)
    return provider


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: list(metric.data.data_points)
        for each in data.resource_metrics
        for scope in each.scope_metrics
        for metric in scope.metrics
    }


def test_no_label_exemplar_or_resource_leaks() -> None:
    reader = InMemoryMetricReader()
    meter = redacting(reader).get_meter("app")
    meter.create_counter("counter").add(1, {"user": JANE, "route": "/x"})
    meter.create_histogram("histogram").record(1.5, {"user": JANE})
    meter.create_up_down_counter("up_down").add(1, {"user": JANE})
    meter.create_gauge("gauge").set(1, {"user": JANE})
    meter.create_observable_gauge("observed", [lambda _: [Observation(1, {"user": JANE})]])
    meter.create_observable_counter("observed_counter", [lambda _: [Observation(1, {"user": JANE})]])
    data = reader.get_metrics_data()
    assert data is not None
    text = data.to_json()
    assert JANE not in text
    assert text.count("[EMAIL]") >= 7, "six instruments and the resource"


def test_masked_series_add_up() -> None:
    reader = InMemoryMetricReader()
    counter = redacting(reader).get_meter("app").create_counter("calls")
    counter.add(1, {"user": JANE})
    counter.add(2, {"user": JOE})
    (point,) = points(reader)["calls"]
    assert (dict(point.attributes), point.value) == ({"user": "[EMAIL]"}, 3)


def test_what_is_not_private_stays_as_it_is() -> None:
    labels = {"gen_ai.request.model": "gpt-4o-2024-08-06", "http.response.status_code": 200, "error.type": "openai.RateLimitError"}
    reader = InMemoryMetricReader()
    redacting(reader).get_meter("app").create_counter("calls").add(1, labels)
    (point,) = points(reader)["calls"]
    assert dict(point.attributes) == labels


def test_a_reader_added_later_is_redacted() -> None:
    provider = redacting(InMemoryMetricReader())
    if not hasattr(provider, "add_metric_reader"):
        pytest.skip("this version of opentelemetry-sdk has no readers that are added later")
    later = InMemoryMetricReader()
    provider.add_metric_reader(later)
    provider.get_meter("app").create_counter("calls").add(1, {"user": JANE})
    (point,) = points(later)["calls"]
    assert dict(point.attributes) == {"user": "[EMAIL]"}


def test_a_later_redactor_replaces_the_earlier_and_nothing_is_redacted_twice() -> None:
    reader, counted = InMemoryMetricReader(), []
    provider = redacting(reader)
    assert redact_metrics(provider, Redactor(on_redact=lambda label, count: counted.append((label, count))), [].append)
    provider.get_meter("app").create_counter("calls").add(1, {"user": JANE})
    points(reader)
    assert counted == [("EMAIL", 1)], "once; the provider's resource was clean by then"


def test_labels_that_cannot_be_redacted_do_not_leave() -> None:
    class Broken(Redactor):
        def attributes(self, attributes: Any) -> Any:
            if "user" in attributes:
                raise RuntimeError(JANE)
            return None

    reader, errors = InMemoryMetricReader(), []
    redacting(reader, redactor=Broken(), errors=errors).get_meter("app").create_counter("calls").add(1, {"user": JANE})
    (point,) = points(reader)["calls"]
    assert (dict(point.attributes), point.value) == ({}, 1)
    assert [type(error) for error in errors] == [RuntimeError]


def test_another_sdk_is_left_alone_and_an_unknown_one_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Renamed:
        _measurement_consumer = object()

    assert redact_metrics(object(), Redactor(), [].append)
    assert caplog.text == ""
    assert not redact_metrics(Renamed(), Redactor(), [].append)
    assert "labels are not redacted" in caplog.text


def test_our_own_metrics_are_redacted_too(make_house: Any) -> None:
    import spanledger

    house = make_house()
    with spanledger.workflow(f"report for {JANE}"):
        pass
    data = house.reader.get_metrics_data()
    assert data is not None
    text = data.to_json()
    assert JANE not in text
    assert "report for [EMAIL]" in text
