"""What a signal handler of the application raises during redaction reaches the application, and what was interrupted does not leave."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger.engine.guard import Guard
from spanledger.redaction.engine import Standard
from spanledger.redaction.redactor import Redactor
from spanledger.telemetry import leading
from spanledger.telemetry.processor import RedactingLogProcessor, RedactingSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator

MAIL = "jane.roe" + "@" + "example.com"


class TimeLimit(ValueError):  # noqa: N818  # as those of task queues
    """What the application's handler raises: of a class that our own code catches, too."""


class Interrupted(Standard):
    """The signal comes while it looks at a text, the given number of times."""

    times = 1

    def present(self, text: str) -> list[int]:
        if self.times:
            self.times -= 1
            signal.raise_signal(signal.SIGALRM)
        return super().present(text)


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    def handler(_number: int, _frame: Any) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, handler)
    yield
    signal.signal(signal.SIGALRM, before)


def test_it_passes_the_redactor() -> None:
    redactor = Redactor(engine=Interrupted())
    with pytest.raises(TimeLimit):
        redactor.text(f"for {MAIL}")
    assert redactor.text(f"for {MAIL}") == "for [EMAIL]"
    for work in (lambda one: one.value("note", [f"for {MAIL}"]), lambda one: one.attributes({"note": f'{{"a": "{MAIL}"}}'})):
        with pytest.raises(TimeLimit):
            work(Redactor(engine=Interrupted()))


def test_also_where_redactions_are_counted() -> None:
    redactor = Redactor(on_redact=lambda _label, _count: signal.raise_signal(signal.SIGALRM))
    with pytest.raises(TimeLimit):
        redactor.text(f"for {MAIL}")


def test_errors_of_our_own_do_not_pass() -> None:
    class Broken(Standard):
        def present(self, text: str) -> list[int]:
            raise TimeLimit(text)

    assert Redactor(engine=Broken()).text(f"for {MAIL}") == "[REDACTED:error]"


def test_a_span_that_was_interrupted_is_not_exported_unredacted() -> None:
    exporter, engine = InMemorySpanExporter(), Interrupted()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    leading.lead_spans(provider, RedactingSpanProcessor(Redactor(engine=engine), on_error=lambda error: Guard().caught("redaction", error)))
    span = provider.get_tracer("app").start_span(f"for {MAIL}", attributes={"who": MAIL})
    with pytest.raises(TimeLimit):
        span.end()
    assert MAIL not in repr([one.to_json() for one in exporter.get_finished_spans()])
    provider.get_tracer("app").start_span(f"for {MAIL}").end()
    assert exporter.get_finished_spans()[-1].name == "for [EMAIL]"


def test_nor_a_log_record() -> None:
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    guard = Guard()
    leading.lead_logs(
        provider, RedactingLogProcessor(Redactor(engine=Interrupted()), on_error=lambda error: guard.caught("redaction", error))
    )
    with pytest.raises(TimeLimit):
        provider.get_logger("app").emit(body=f"for {MAIL}")
    assert MAIL not in repr([one.log_record for one in exporter.get_finished_logs()])
