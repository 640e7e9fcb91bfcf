"""Spans that others make of calls that are ours to count.

Some client libraries trace themselves (anthropic 2.x does). Inside one of our calls such a span is a second account of the same tokens:
it stays, for its timing and detail, but without usage and marked ``spanledger.counted = false``, so that no backend adds it up twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from opentelemetry.context import Context


class Duplicates:
    """Recognises native spans when they start and strips their usage when they end."""

    def __init__(self) -> None:
        self._scopes: tuple[str, ...] = ()
        self._other: Any = None
        """The last scope that is none of these: nearly always our own, whose spans are to pass quickly."""
        self.on_error: Callable[[BaseException], None] = lambda _error: None
        """Told of each error of ours when a span starts; set by protection."""
        self.inside_call: Callable[[Context | None], bool] = lambda _context: False
        """Whether a span that starts in this context starts inside one of our calls; set by install."""

    def know(self, scopes: Collection[str]) -> None:
        """Adds instrumentation scopes under which a client library traces itself."""
        self._scopes = (*self._scopes, *(scope for scope in scopes if scope not in self._scopes))
        self._other = None

    def on_start(self, span: Any, context: Context | None) -> None:
        """Marks a native span that starts inside one of our calls."""
        scope = getattr(span, "_instrumentation_scope", None)  # not by the property: every span passes here
        if scope is not self._other:
            try:
                if self._is_native(scope) and self.inside_call(context):
                    span.set_attribute(s.COUNTED, False)
            except Exception as error:  # noqa: BLE001  # it would reach who starts the span
                self.on_error(error)

    def on_ending(self, span: Any) -> None:
        """Takes usage off a marked span. The SDK froze its attributes before this hook, so they are replaced."""
        scope = getattr(span, "_instrumentation_scope", None)  # not by the property: every span passes here
        if scope is self._other or not self._is_native(scope):
            return
        attributes = span._attributes  # noqa: SLF001  # the only way left at this point; see telemetry/processor.py
        if attributes.get(s.COUNTED) is not False:
            return
        kept = {key: value for key, value in attributes.items() if not key.startswith(s.USAGE_PREFIX)}
        span._attributes = BoundedAttributes(attributes=kept)  # noqa: SLF001

    def _is_native(self, scope: Any) -> bool:
        if scope is not None and self._scopes and scope.name.startswith(self._scopes):
            return True
        self._other = scope
        return False
