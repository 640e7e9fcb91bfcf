"""Entry points for ``opentelemetry-instrument``, in the order in which it calls them: pre-instrument, exporter, instrumentor."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # not in its __all__
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import format_span_id, format_trace_id

from spanledger import adapters, settings
from spanledger.engine import patching
from spanledger.engine.guard import Guard, log
from spanledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from spanledger.ledger.spans import SpanRow, SpanStore


def pre_instrument() -> None:
    """Puts the processors in place before the first span exists. Never raises: that would end all auto-instrumentation."""
    try:
        from spanledger import protection  # noqa: PLC0415  # a failing import must be caught as well

        config = settings.load()
        if config.enabled:
            protection.protect(config, Guard(debug=config.debug))
    except Exception as error:  # noqa: BLE001  # see above
        log.warning("redaction could not be installed: %s", type(error).__name__)


_OURS = ("spanledger.workflows", "spanledger.plugins", "spanledger.install")
"""What a program that uses our names imports."""


class SpanledgerInstrumentor(BaseInstrumentor):
    """The instrumentor that ``opentelemetry-instrument`` loads.

    It installs nothing until the program imports something that we record; a program that does not hardly pays for us
    (``benchmarks/startup.py``).
    """

    _installing = False

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: libraries are patched when and if they are imported."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """Never raises: that would end all auto-instrumentation."""
        self._providers: dict[str, Any] = {name: kwargs.get(name) for name in ("tracer_provider", "meter_provider", "logger_provider")}
        self._installing = False
        try:
            plugins = {text.partition(":")[0].strip() for text in settings.load().plugins}
            for module in (*adapters.KNOWN, *_OURS, *sorted(plugins - {""})):
                patching.when_imported(module, self._install)
        except Exception as error:  # noqa: BLE001  # see above
            log.warning("spanledger could not be installed: %s", error)

    def _install(self, _module: object) -> None:
        """The first of them is there. An exception here would break the program's import."""
        if self._installing or _installer_is_half_there():  # importing what installs us imports some of them
            return
        self._installing = True
        try:
            from spanledger import install  # noqa: PLC0415  # see the class

            install.instrument(**self._providers)
        except Exception as error:  # noqa: BLE001  # see above
            log.warning("spanledger could not be installed: %s", error)

    def _uninstrument(self, **_kwargs: Any) -> None:
        self._installing = True  # hooks that fire from now on do nothing
        from spanledger import install  # noqa: PLC0415

        install.uninstrument()


def _installer_is_half_there() -> bool:
    """Whether the program itself is importing what installs us: the hook of that module fires when it is done."""
    installer = sys.modules.get("spanledger.install")
    return installer is not None and not hasattr(installer, "instrument")


class SpanledgerSpanExporter(SpanExporter):
    """Traces exporter ``spanledger``: stores spans in the ledger's SQLite file, for ``spanledger trace``; no network."""

    def __init__(self) -> None:
        self._store: SpanStore | None = None
        try:
            self._store = _open_store()
        except LedgerError as error:  # an exporter that raises ends all auto-instrumentation
            log.warning("spans are not stored: %s", error)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Stores a batch; a ledger that cannot be written makes the batch fail, with one line in the log."""
        if self._store is None:
            return SpanExportResult.FAILURE
        try:
            self._store.save([_row(span) for span in spans])
        except LedgerError as error:
            log.warning("spans not stored: %s", error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Closes the file."""
        if self._store is not None:
            self._store.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002  # nothing is buffered
        """Nothing is buffered."""
        return True


def _open_store() -> SpanStore | None:
    from spanledger.ledger.open import sqlite_path, understood  # noqa: PLC0415  # only where this exporter is chosen
    from spanledger.ledger.spans import SpanStore  # noqa: PLC0415

    config = settings.load()
    url, _problem = understood(config.ledger_url, config.default_ledger_url)  # install says what is wrong
    path = sqlite_path(url)
    if path is not None:
        return SpanStore(path)
    log.warning("OTEL_TRACES_EXPORTER=spanledger stores spans in a SQLite ledger only; SPANLEDGER_LEDGER is %s", url.split(":")[0])
    return None


def _row(span: ReadableSpan) -> SpanRow:
    from spanledger.ledger.spans import SpanRow  # noqa: PLC0415

    context, parent, scope = span.context, span.parent, span.instrumentation_scope
    return SpanRow(
        trace_id=format_trace_id(context.trace_id),
        span_id=format_span_id(context.span_id),
        parent_id=format_span_id(parent.span_id) if parent is not None else None,
        name=span.name,
        kind=span.kind.name.lower(),
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status=span.status.status_code.name.lower(),
        status_message=span.status.description,
        scope=scope.name if scope is not None else "",
        attributes=_plain(span.attributes),
        events=[{"name": event.name, "time_ns": event.timestamp, "attributes": _plain(event.attributes)} for event in span.events],
        resource=_plain(span.resource.attributes),
        links=[
            {"trace_id": format_trace_id(link.context.trace_id), "span_id": format_span_id(link.context.span_id)} for link in span.links
        ],
    )


def _plain(attributes: Any) -> dict[str, Any]:
    """Attributes as JSON can hold them."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(attributes or {}), default=str))
    return plain
