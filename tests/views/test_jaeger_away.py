"""Jaeger is away for a while: its spans wait on disk, and none is lost. VIEWS_MINUTES=10 makes it ten minutes."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.slow]
MINUTES = float(os.environ.get("VIEWS_MINUTES", "0.3"))


def test_what_waited_for_jaeger_arrives(views: Any) -> None:
    views.stack.stop()
    views.stack.start(only=[name for name in views.stack.urls if name != "jaeger"])
    began = time.monotonic()
    rounds = 0
    while time.monotonic() - began < MINUTES * 60:
        views.run("traffic.py", "--calls", "100", "--seed", str(rounds))
        rounds += 1
    away = time.monotonic() - began
    views.stack.start()
    failed = {span["traceId"] for span in views.spans() if span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")}
    assert failed, "traces with errors are never sampled away"
    assert views.until(lambda: failed <= _in_jaeger(views), 180), f"{len(failed - _in_jaeger(views))} of {len(failed)} traces are missing"
    spans = sum(1 for span in views.spans() if span["traceId"] in failed)
    stored = _spans_in_jaeger(views, failed)
    assert stored == spans
    print(f"\nJaeger away for {away:.0f} s: {len(failed)} traces with errors, {spans} spans, all of them arrived")


def _traces(views: Any) -> list[Any]:
    found = views.get("jaeger", "/api/traces", service="demo", limit="10000", lookback="2h")
    return found["data"] or []


def _in_jaeger(views: Any) -> set[str]:
    return {trace["traceID"] for trace in _traces(views)}


def _spans_in_jaeger(views: Any, traces: set[str]) -> int:
    return sum(len(trace["spans"]) for trace in _traces(views) if trace["traceID"] in traces)
