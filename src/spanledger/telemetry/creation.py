"""Whether anybody looks at a span's attributes while it is being started.

Attributes given at creation are checked and copied one by one by the SDK, a large part of what a span costs. They matter to
samplers that decide by them and to processors that read them in ``on_start``; the SDK's own do neither. Where nobody looks, a span starts
without, and they are made with all others when it is read. See docs/decisions/0005-attributes-past-the-checks.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import SpanProcessor, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from spanledger.telemetry.processor import RedactingSpanProcessor

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_BLIND = tuple(kind.on_start for kind in (SpanProcessor, BatchSpanProcessor, SimpleSpanProcessor, RedactingSpanProcessor))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was found for this sampler and these processors; the SDK replaces the tuple when one is added."""

    sampler: Any
    processors: Any
    looked_at: bool


_last = _Answer(None, None, looked_at=True)


def is_looked_at(tracer: Tracer) -> bool:
    """True also for tracers that are not the SDK's."""
    global _last  # noqa: PLW0603  # a process has one tracer provider
    try:
        sampler, processors, last = tracer.sampler, tracer.span_processor._span_processors, _last  # type: ignore[attr-defined]  # noqa: SLF001  # asked for
    except AttributeError:
        real = getattr(tracer, "_tracer", None)  # of the API's stand-in, where the provider was set after we asked for a tracer
        return real is None or is_looked_at(real)
    if sampler is not last.sampler or processors is not last.processors:
        looked_at = not (_is_blind(sampler) and all(getattr(one.on_start, "__func__", None) in _BLIND for one in processors))
        _last = last = _Answer(sampler, processors, looked_at)
    return last.looked_at


def _is_blind(sampler: Any) -> bool:
    """One of the SDK's plain samplers; ``ParentBased`` asks others."""
    if type(sampler).__module__ != sampling.__name__:
        return False
    return all(_is_blind(part) for part in vars(sampler).values() if isinstance(part, sampling.Sampler))
