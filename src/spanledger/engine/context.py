"""The OpenTelemetry context, without the detours of its public functions: every call enters and leaves one."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

_variable: Any = getattr(getattr(otel_context, "_RUNTIME_CONTEXT", None), "_current_context", None)
_direct = isinstance(_variable, ContextVar)
current: Callable[[], Context] = _variable.get if _direct else otel_context.get_current
"""The context in force."""
attach: Callable[[Context], Any] = _variable.set if _direct else otel_context.attach
detach: Callable[[Any], None] = _variable.reset if _direct else otel_context.detach
"""Straight at the context variable where OpenTelemetry keeps one. Only where a context is sure to be left in the thread and task that
entered it; elsewhere use OpenTelemetry's own ``detach``, which forgives."""


def leave(token: Any) -> None:
    """``detach`` for what is being collected: its code may run in whatever context."""
    with suppress(ValueError):
        detach(token)


_SPAN = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))


def within(context: Context, span: Span, key: str, value: object) -> Context:
    """A context derived from this one, with a current span and one more value."""
    return Context({**context, _SPAN: span, key: value})
