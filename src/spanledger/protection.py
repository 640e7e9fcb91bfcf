"""Puts the processors that redact in front of all others, in every provider; apart from the rest because it must start fast.

Providers that exist are led when ``protect`` runs; those that are made or set later, by the program or by another vendor's package, when
that happens: the SDK's constructors are patched. Spans that pass no processor of ours are redacted on their way to exporters.
See docs/decisions/0014-every-provider.md.
"""

from __future__ import annotations

import functools
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.trace import ReadableSpan

from spanledger import __version__
from spanledger.engine import patching
from spanledger.redaction.redactor import Redactor
from spanledger.telemetry import leading, limits, measurements, origins, semconv
from spanledger.telemetry.foreign import Duplicates
from spanledger.telemetry.identities import Identities
from spanledger.telemetry.late import LateAttributes
from spanledger.telemetry.metrics import Tally
from spanledger.telemetry.processor import RedactingLogProcessor, RedactingSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from spanledger.engine.guard import Guard
    from spanledger.settings import Settings

log = logging.getLogger("spanledger")

duplicates = Duplicates()
_redactions = Tally()


class _Signal(NamedTuple):
    """Where the SDK makes the providers of one signal, and what makes one the process's own."""

    sdk: str
    made: tuple[str, ...]
    """After these a provider must be led: it is new, or its processors changed (a subclass may drop ours), or its resource (by a fork)."""
    setter: tuple[str, str]
    current: Callable[[], Any]
    lead: Callable[[_Protection, Any], bool]


class _Protection:
    """What leads providers. ``on_set``: see ``protect``."""

    def __init__(self, config: Settings, guard: Guard, on_set: Callable[[Any, bool], None]) -> None:
        self._redactor = Redactor(config.redaction, config.redaction_key, _count)
        self._on_error = partial(guard.caught, "redaction")
        self._guard, self._on_set = guard, on_set
        self.given: tuple[Any, ...] = ()
        """Signals whose provider was given, so that it does not matter which one the process sets."""
        self._span_processors = functools.cache(self._span_processor)  # one for all providers with the same limits
        self._log_processors = functools.cache(self._log_processor)

    def spans(self, provider: Any) -> bool:
        lengths = limits.of_tracers(provider)
        led = leading.lead_spans(provider, self._span_processors(lengths))
        if led and lengths is not None:
            limits.lift_tracers(provider, lengths)
        return led

    def logs(self, provider: Any) -> bool:
        length = limits.of_loggers(provider)
        led = leading.lead_logs(provider, self._log_processors(length))
        if led and length is not None:
            limits.lift_loggers(provider, length)
        return led

    def labels(self, provider: Any) -> bool:
        return measurements.redact_metrics(provider, self._redactor, self._on_error)

    def _span_processor(self, lengths: limits.Lengths | None) -> RedactingSpanProcessor:
        kind = RedactingSpanProcessor if lengths is None else partial(limits.CuttingSpanProcessor, lengths)
        return kind(self._redactor, on_error=self._on_error, before=duplicates.on_ending, on_start_hook=duplicates.on_start)

    def _log_processor(self, length: int | None) -> RedactingLogProcessor:
        kind = RedactingLogProcessor if length is None else partial(limits.CuttingLogProcessor, length)
        return kind(self._redactor, on_error=self._on_error)

    def lead(self, signal: _Signal, provider: Any) -> bool:
        """Whether all that this provider exports is redacted from now on. The API's own exports nothing."""
        if type(provider).__module__.startswith(_API):
            return True
        led = bool(self._guard.run("processors", signal.lead, self, provider))
        if led:
            self._guard.run("processors", _led[signal.sdk].add, provider)
            self._guard.run("scopes", origins.redact_known, provider, self._redactor)
        return led

    def scope(self, scope: Any) -> None:
        """Redacts an instrumentation scope."""
        self._guard.run("scopes", origins.redact, scope, self._redactor)

    def lets_out(self, signal: _Signal, leaving: Any) -> bool:
        """Redacts what no processor of ours has seen: a copy of a span that is still open, what comes from a provider that is not led,
        what processors behind ours wrote into a log record.

        Whether it may be exported.
        """
        if self._redactor.off or (signal is _SPANS and not issubclass(type(leaving), ReadableSpan)):
            return True
        return bool(self._guard.run("processors", self._finished, signal, leaving))

    def _finished(self, signal: _Signal, leaving: Any) -> bool:
        length = getattr(getattr(leaving, "limits", None), "lifted", None)  # of a log record
        processor = self._span_processors(None) if signal is _SPANS else self._log_processors(length)
        processor.finish(leaving)
        scope = getattr(leaving, "instrumentation_scope", None)
        if scope is not None:  # made before us
            self.scope(scope)
        return True

    def measured(self, storage: Any) -> bool:
        """Leads a metric reader that takes a measurement; whether it is redacted from now on."""
        self._guard.run("processors", measurements.redact_storage, storage, self._redactor, self._on_error)
        return measurements.is_led(storage)

    def lift(self, log_record: Any) -> None:
        """Keeps whole what a log record is made with that comes from no logger of ours; it is cut on its way out."""
        if not self._redactor.off:
            self._guard.run("processors", limits.lift_record, log_record)

    def set_globally(self, signal: _Signal, provider: Any, led: bool) -> None:
        """Tells of a provider that was to become the process's own, if it did: the API takes the first one only."""
        if signal not in self.given and self._guard.run("providers", signal.current) is provider:
            self._guard.run("providers", self._on_set, provider, led)


_API = ("opentelemetry.trace", "opentelemetry._logs", "opentelemetry.metrics")
_SPANS = _Signal(
    "opentelemetry.sdk.trace", ("TracerProvider.__init__", "TracerProvider.add_span_processor"),
    ("opentelemetry.trace", "_set_tracer_provider"), trace.get_tracer_provider, _Protection.spans,
)  # fmt: skip
_LOGS = _Signal(
    "opentelemetry.sdk._logs", ("LoggerProvider.__init__", "LoggerProvider.add_log_record_processor"),
    ("opentelemetry._logs._internal", "_set_logger_provider"), _logs.get_logger_provider, _Protection.logs,
)  # fmt: skip
_METRICS = _Signal(
    "opentelemetry.sdk.metrics", ("MeterProvider.__init__", "MeterProvider._update_resource"),
    ("opentelemetry.metrics._internal", "_set_meter_provider"), metrics.get_meter_provider, _Protection.labels,
)  # fmt: skip
_SIGNALS = (_SPANS, _LOGS, _METRICS)
_EXPORTING = (
    ("opentelemetry.sdk.trace.export", "BatchSpanProcessor.on_end", _SPANS),
    ("opentelemetry.sdk.trace.export", "SimpleSpanProcessor.on_end", _SPANS),
    ("opentelemetry.sdk._logs._internal.export", "BatchLogRecordProcessor.on_emit", _LOGS),
    ("opentelemetry.sdk._logs._internal.export", "SimpleLogRecordProcessor.on_emit", _LOGS),
)
"""What hands spans and log records to exporters."""
_MADE = ("opentelemetry.sdk._logs._internal", "ReadWriteLogRecord.__post_init__")

_led = {signal.sdk: Identities() for signal in _SIGNALS}
"""By signal, so that a later protection can replace an earlier one's processors."""
_current: _Protection | None = None
_patches: list[patching.Patch] = []


def protect(
    config: Settings,
    guard: Guard,
    providers: tuple[Any, Any, Any] = (None, None, None),
    on_set: Callable[[Any, bool], None] = lambda _provider, _led: None,
) -> bool:
    """Redacts all that leaves through these providers, and through every provider of the SDK that is made or set from now on.

    A later call replaces an earlier one, in all providers that were led.

    Args:
        config, guard: how to redact, and who is told of errors.
        providers: of tracers, meters and loggers; the global ones where not given.
        on_set: called when a global provider is set later where none was given: with it, and whether all that it exports is redacted.

    Returns whether all that these providers export is redacted.
    """
    global _current  # noqa: PLW0603  # the process has one protection
    duplicates.on_error = lambda error: guard.caught("foreign", error)
    first = _current is None
    _current = current = _Protection(config, guard, on_set)
    if first:
        guard.run("providers", _watch)
    meter = metrics.get_meter("spanledger", __version__, providers[1])
    meter.create_observable_counter(semconv.METRIC_REDACTIONS, [_redactions.observe], "{value}", "Values redacted, by kind.")
    for signal in _SIGNALS:
        for provider in list(_led[signal.sdk]):
            current.lead(signal, provider)
    given = tuple(zip((_SPANS, _METRICS, _LOGS), providers, strict=True))
    current.given = tuple(signal for signal, provider in given if provider)
    led = [current.lead(signal, provider or signal.current()) for signal, provider in given]
    return all(led)


def release() -> None:
    """Puts the SDK's constructors back. What is led stays led: its processors go on redacting."""
    global _current  # noqa: PLW0603
    _current = None
    for patch in reversed(_patches):
        if not patch.undo():
            log.warning("%s was wrapped by somebody else since; our wrapper stays in place and does nothing", patch.name)
    _patches.clear()
    for providers in _led.values():
        providers.clear()


def _watch() -> None:
    for signal in _SIGNALS:
        patching.when_imported(signal.sdk, partial(_watch_constructor, signal))
        module, name = signal.setter
        patching.when_imported(module, partial(_patch, name, partial(_around_set, signal)))
    module, name = origins.MADE
    patching.when_imported(module, partial(_patch, name, _after_named))
    for module, name, signal in _EXPORTING:
        patching.when_imported(module, partial(_patch, name, partial(_before_export, signal)))
    for (module, name), wrap in ((_MADE, _before_made), (measurements.MEASURED, _before_measured)):
        patching.when_imported(module, partial(_patch, name, wrap))


def _watch_constructor(signal: _Signal, module: ModuleType) -> None:
    for method in signal.made:
        _patch(method, partial(_after_made, signal), module)


def _patch(name: str, wrap: Callable[[Any], Any], module: ModuleType) -> None:
    if _current is None:
        return
    try:
        _patches.append(patching.patch(module, name, wrap))
    except AttributeError as error:
        log.warning("redaction: %s in this version of opentelemetry; providers that are made later may export unredacted", error)


def _after_made(signal: _Signal, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def made(provider: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = original(provider, *args, **kwargs)
        if _current is not None:
            _current.lead(signal, provider)
        return result

    return made


def _after_named(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def named(scope: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = original(scope, *args, **kwargs)
        if _current is not None:
            _current.scope(scope)
        return result

    return named


def _before_export(signal: _Signal, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def export(processor: Any, leaving: Any) -> Any:
        current = _current
        if current is None or type(getattr(leaving, "_attributes", None)) is LateAttributes or current.lets_out(signal, leaving):
            return original(processor, leaving)
        return None

    return export


def _before_made(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def made(log_record: Any) -> None:
        current = _current
        if current is not None:
            current.lift(log_record)
        original(log_record)

    return made


def _before_measured(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def consume_measurement(storage: Any, *args: Any, **kwargs: Any) -> None:
        current = _current
        if current is None or measurements.is_led(storage):
            original(storage, *args, **kwargs)
        elif current.measured(storage):
            storage.consume_measurement(*args, **kwargs)

    return consume_measurement


def _around_set(signal: _Signal, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_(*args: Any, **kwargs: Any) -> Any:
        current = _current
        given = (*args, *kwargs.values())  # by whatever name; all else is flags
        provider = next((one for one in given if not isinstance(one, bool)), None)
        led = current is not None and current.lead(signal, provider)
        result = original(*args, **kwargs)
        if current is not None:
            current.set_globally(signal, provider, led)
        return result

    return set_


def _count(label: str, count: int) -> None:
    _redactions.add(((semconv.REDACTION_LABEL, label),), count)
