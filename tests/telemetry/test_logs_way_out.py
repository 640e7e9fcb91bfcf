"""Log records are redacted whoever writes into them, wherever in the chain, and whatever provider they come from."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from spanledger.redaction.redactor import Redactor
from spanledger.telemetry.processor import RedactingLogProcessor
from spanledger.telemetry.watched import WatchedAttributes

SECRET = "jane.roe" + "@" + "corp.example.com"


class Writing(LogRecordProcessor):
    """As those that copy baggage, users or resources into records."""

    def on_emit(self, log_record: Any) -> None:
        record = log_record.log_record
        record.attributes["who"] = SECRET
        record.attributes.update({"nested": {"a": [SECRET]}, f"for {SECRET}": 1, "n": 7})
        record.body = f"{record.body} {SECRET}" if isinstance(record.body, str) else {**record.body, "more": SECRET}
        record.event_name, record.severity_text = f"event.{SECRET}", SECRET
        log_record.resource = Resource({"host": SECRET})

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        del timeout_millis
        return True


class Sending(InMemoryLogRecordExporter):
    """Writes each record when it gets it, as those that send them do."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def export(self, batch: Any) -> Any:
        self.sent += [one.to_json() for one in batch]
        return super().export(batch)


@pytest.mark.parametrize("exporting", [SimpleLogRecordProcessor, BatchLogRecordProcessor])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("body", ["text", {"a": "b"}])
def test_what_others_write_into_a_record_is_redacted(make_house: Any, exporting: Any, place: int, body: Any) -> None:
    make_house()
    provider, exporter = LoggerProvider(shutdown_on_exit=False), Sending()
    chain: list[Any] = [exporting(exporter), SimpleLogRecordProcessor(InMemoryLogRecordExporter())]
    chain.insert(place, Writing())
    for one in chain:
        provider.add_log_record_processor(one)
    provider.get_logger("app").emit(LogRecord(body=body, attributes={"asked": "yes"}))
    provider.force_flush()
    (told,) = exporter.get_finished_logs()
    assert SECRET not in repr(exporter.sent)
    if place == 0:
        assert dict(told.log_record.attributes or {}) == {
            "asked": "yes", "who": "[EMAIL]", "nested": {"a": ("[EMAIL]",)}, "for [EMAIL]": 1, "n": 7,
        }  # fmt: skip
        assert told.log_record.body == ("text [EMAIL]" if body == "text" else {"a": "b", "more": "[EMAIL]"})


@pytest.mark.parametrize("exporting", [SimpleLogRecordProcessor, BatchLogRecordProcessor])
def test_so_are_records_of_a_provider_that_nobody_knows_of(make_house: Any, exporting: Any) -> None:
    provider, exporter = LoggerProvider(Resource({"host": SECRET}), shutdown_on_exit=False), Sending()
    provider.add_log_record_processor(exporting(exporter))
    make_house()
    provider.get_logger("app").emit(LogRecord(body=SECRET, attributes={"who": SECRET}, event_name=SECRET))
    provider.force_flush()
    (told,) = exporter.get_finished_logs()
    assert (told.log_record.body, dict(told.log_record.attributes or {})) == ("[EMAIL]", {"who": "[EMAIL]"})
    assert SECRET not in repr(exporter.sent)


def test_but_not_a_second_time(make_house: Any, monkeypatch: Any) -> None:
    make_house()
    provider, redacted = LoggerProvider(shutdown_on_exit=False), []
    replace = RedactingLogProcessor._replace
    monkeypatch.setattr(RedactingLogProcessor, "_replace", lambda one, record: redacted.append(record) or replace(one, record))
    for _ in range(3):
        provider.add_log_record_processor(SimpleLogRecordProcessor(InMemoryLogRecordExporter()))
    provider.get_logger("app").emit(LogRecord(body=SECRET, attributes={"who": SECRET}))
    provider.get_logger("app").emit(LogRecord(attributes={"who": SECRET}))
    assert len(redacted) == 2


def test_nothing_is_changed_where_redaction_is_off(make_house: Any) -> None:
    make_house(SPANLEDGER_REDACTION="off")
    provider, exporter = LoggerProvider(shutdown_on_exit=False), InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("app").emit(LogRecord(body=SECRET, attributes={"who": SECRET}))
    (told,) = exporter.get_finished_logs()
    assert (told.log_record.body, dict(told.log_record.attributes or {})) == (SECRET, {"who": SECRET})
    assert type(told.log_record.attributes) is not WatchedAttributes


def test_what_cannot_be_redacted_there_is_not_exported(make_house: Any, monkeypatch: Any) -> None:
    make_house().runtime.guard.debug = False
    exporter = mock.Mock()
    monkeypatch.setattr(RedactingLogProcessor, "finish", lambda _one, _record: 1 / 0)
    SimpleLogRecordProcessor(exporter).on_emit(ReadWriteLogRecord(LogRecord(body=SECRET)))
    exporter.export.assert_not_called()


def test_attributes_of_other_types_become_what_the_sdk_makes_of_them(make_house: Any) -> None:
    make_house()
    record = ReadWriteLogRecord(LogRecord(body="x"))
    RedactingLogProcessor(Redactor()).on_emit(record)
    attributes = record.log_record.attributes
    attributes["price"] = complex(1, 2)
    attributes[""] = "dropped"
    del attributes["price"]
    attributes["price"] = 3
    assert (dict(attributes), attributes.dropped) == ({"price": 3}, 1)


TEXTS = st.tuples(st.text("ab ", max_size=20), st.just(SECRET), st.text("ab ", max_size=20)).map(" ".join)


@effort(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, limit=st.integers(0, 60), kept=st.integers(1, 3))
def test_a_record_that_the_application_makes_is_redacted_before_it_is_cut(make_house: Any, text: str, limit: int, kept: int) -> None:
    make_house()
    provider, exporter = LoggerProvider(shutdown_on_exit=False), InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    limits = LogRecordLimits(max_log_record_attributes=kept, max_log_record_attribute_length=limit)
    provider.get_logger("app").emit(ReadWriteLogRecord(LogRecord(attributes={"who": text}), limits=limits))
    (told,) = exporter.get_finished_logs()
    assert dict(told.log_record.attributes or {}) == {"who": Redactor().text(text)[:limit]}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("mode", ["mask", "off"])
def test_so_is_what_its_exception_says(make_house: Any, known: bool, mode: str) -> None:
    limits, exporter = LogRecordLimits(max_log_record_attribute_length=24), Sending()
    provider = LoggerProvider(log_record_limits=limits, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    make_house(SPANLEDGER_REDACTION=mode)
    if known:
        provider.add_log_record_processor(SimpleLogRecordProcessor(Sending()))
    for make in (lambda record: ReadWriteLogRecord(record, limits=limits), lambda record: record):
        provider.get_logger("app").emit(make(LogRecord(body="x", attributes={"who": "x" * 99}, exception=ValueError(f"for user {SECRET}"))))
        attributes = dict(exporter.get_finished_logs()[-1].log_record.attributes or {})
        assert attributes["exception.message"] == ("for user [EMAIL]" if mode == "mask" else f"for user {SECRET}"[:24])
        assert attributes["who"] == "x" * 24


def test_what_others_write_is_redacted_before_it_is_cut(make_house: Any) -> None:
    make_house()
    provider = LoggerProvider(log_record_limits=LogRecordLimits(max_log_record_attribute_length=12), shutdown_on_exit=False)
    exporter = Sending()
    provider.add_log_record_processor(Writing())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("app").emit(LogRecord(body="x", attributes={"note": f"mail {SECRET}"}))
    (told,) = exporter.get_finished_logs()
    assert told.log_record.attributes["note"] == "mail [EMAIL]"  # type: ignore[index]  # there are some
    assert told.log_record.attributes["who"] == "[EMAIL]"  # type: ignore[index]
    assert "jane" not in repr(exporter.sent)
