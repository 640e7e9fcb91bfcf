"""A gateway that is killed in the middle of the flow loses nothing; what it may do is count a payload twice."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.stack, pytest.mark.slow]
PAYLOAD, KILLS = 100, 4


def _differences(counted: dict[Any, int], sent: dict[Any, int]) -> dict[Any, int]:
    return {key: difference for key in {*counted, *sent} if (difference := counted.get(key, 0) - sent.get(key, 0))}


def test_killed_gateway_loses_no_span_and_no_count(
    running: Callable[..., Any], sender: Callable[..., Any], random_calls: Any, non_zero: Any, record_property: Any
) -> None:
    stack = running("agent", "gateway", "prometheus")
    one, done = sender(stack), threading.Event()

    def flow() -> None:
        while not done.is_set():
            random_calls(one, PAYLOAD, seed=one.sent)
            one.send()  # the agent accepts whether the gateway is there or not

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        for _ in range(KILLS):
            before = len(stack.span_file())
            until = time.monotonic() + 60
            while len(stack.span_file()) < before + 10 * PAYLOAD and time.monotonic() < until:
                time.sleep(0.05)
            stack.stack.kill("gateway")
            stack.stack.start(("gateway",))
    finally:
        done.set()
        thread.join()
    spans = _drained(stack, one.sent)
    assert len({span["spanId"] for span in spans}) == one.sent
    counted = stack.wait_for(non_zero([one]), deadline=20)
    surplus = _differences(counted, non_zero([one]))
    record_property("sent", one.sent)
    record_property("in the file twice", len(spans) - one.sent)
    record_property("counted twice", sum(more for key, more in surplus.items() if key[0] == "operations"))
    # At least once: a payload that was being handed over when the kill came is handed over again, whole.
    assert min(surplus.values(), default=0) >= 0
    assert sum(more for key, more in surplus.items() if key[0] == "operations") in {PAYLOAD * twice for twice in range(KILLS + 1)}


def _drained(stack: Any, sent: int) -> list[dict[str, Any]]:
    """The spans of the file when all that were sent are in it, or at the deadline."""
    until = time.monotonic() + 120
    spans: list[dict[str, Any]] = stack.span_file()
    while len({span["spanId"] for span in spans}) < sent and time.monotonic() < until:
        time.sleep(0.5)
        spans = stack.span_file()
    return spans


def test_what_prometheus_did_not_take_waits_for_it(
    running: Callable[..., Any], sender: Callable[..., Any], random_calls: Any, non_zero: Any
) -> None:
    stack = running("agent", "gateway", "prometheus")
    one = sender(stack)
    for seed in range(3):
        random_calls(one, PAYLOAD, seed=seed)
        one.send()
        if seed == 0:
            stack.stack.kill("prometheus")
    assert len(_drained(stack, one.sent)) == one.sent  # the gateway goes on without it
    stack.stack.kill("gateway")  # and its queue is on disk
    stack.stack.start(("gateway", "prometheus"))
    assert stack.wait_for(non_zero([one])) == non_zero([one])
