"""An application with a second instrumentation: its spans repeat what the first one's say, attributes and all."""

from __future__ import annotations

import runpy
import sys
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor


class Repeating(SpanProcessor):
    """Starts and ends another span for every counted one of ``openai``'s first calls."""

    def on_end(self, span: Any) -> None:
        if span.attributes.get("spanledger.counted") and span.instrumentation_scope.name == "spanledger":
            trace.get_tracer("other").start_span(span.name, attributes=dict(span.attributes)).end()


trace.get_tracer_provider().add_span_processor(Repeating())  # type: ignore[attr-defined]  # the SDK's
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
