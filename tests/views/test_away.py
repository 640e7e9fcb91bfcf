"""Jaeger or Prometheus is away for a while: what is for it waits on disk, and nothing is lost. VIEWS_MINUTES=10 makes it ten minutes."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.slow]
MINUTES = float(os.environ.get("VIEWS_MINUTES", "0.3"))


def traffic_without(views: Any, service: str) -> float:
    """Runs traffic while the service is away, starts the service again, and says how many seconds it was away."""
    views.stack.stop()
    views.stack.start(only=[name for name in views.stack.urls if name != service])
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < MINUTES * 60:
        views.run("traffic.py", "--calls", "100", "--seed", str(rounds))
        rounds += 1
    away = time.monotonic() - began
    views.stack.start()
    return away


def test_what_waited_for_jaeger_arrives(views: Any) -> None:
    away = traffic_without(views, "jaeger")
    failed = {span["traceId"] for span in views.spans() if span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")}
    assert failed, "traces with errors are never sampled away"
    assert views.until(lambda: failed <= _in_jaeger(views), 180), f"{len(failed - _in_jaeger(views))} of {len(failed)} traces are missing"
    spans = sum(1 for span in views.spans() if span["traceId"] in failed)
    stored = _spans_in_jaeger(views, failed)
    assert stored == spans
    print(f"\nJaeger away for {away:.0f} s: {len(failed)} traces with errors, {spans} spans, all of them arrived")


def test_what_waited_for_prometheus_arrives(views: Any) -> None:
    away = traffic_without(views, "prometheus")
    expected = views.in_ledger()
    assert views.until(lambda: _arrived(views, "operations", expected), 180), views.sums("operations")
    assert all(_arrived(views, measure, expected) for measure in ("tokens", "cost"))
    print(
        f"\nPrometheus away for {away:.0f} s: {expected['operations']} operations, {expected['tokens']} tokens, equal in all four sources"
    )


def _arrived(views: Any, measure: str, expected: Any) -> bool:
    sums = views.sums(measure)
    return len(sums) == 4 and all(counts.total() == expected[measure] for counts in sums.values())


def _traces(views: Any) -> list[Any]:
    found = views.get("jaeger", "/api/traces", service="demo", limit="10000", lookback="2h")
    return found["data"] or []


def _in_jaeger(views: Any) -> set[str]:
    return {trace["traceID"] for trace in _traces(views)}


def _spans_in_jaeger(views: Any, traces: set[str]) -> int:
    return sum(len(trace["spans"]) for trace in _traces(views) if trace["traceID"] in traces)
