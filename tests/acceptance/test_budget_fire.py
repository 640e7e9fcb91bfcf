"""Budgets under fire, with the real client; ``tests/tools/budget_fire.py`` does the same with more calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("shape", "unit"), [("64 threads", "USD"), ("64 tasks", "tokens"), ("4 processes", "USD"), ("4 processes", "calls")]
)  # fmt: skip
def test_no_call_gets_past_a_budget(load_tool: Callable[[str], Any], shape: str, unit: str) -> None:
    result = load_tool("budget_fire").fire(shape, unit, calls=192)

    assert result.problems() == []
    assert result.passed
    assert result.refused
    assert len(result.sent) == len(result.passed)


def test_the_proof_sees_what_is_wrong(load_tool: Callable[[str], Any]) -> None:
    """Each thing that could go wrong is one that the tool would tell."""
    tool = load_tool("budget_fire")

    def result(**changes: Any) -> Any:
        usual = {
            "shape": "64 tasks", "unit": "calls", "limit": 2, "asked": 3, "passed": {"a", "b"}, "refused": {"c"}, "sent": ["a", "b"],
            "booked": ["b", "a"], "charged": 2, "spent": 2, "samples": 10, "highest": 2,
        }  # fmt: skip
        return tool.Result(**{**usual, **changes})

    assert result().problems() == []
    for change in (
        {"highest": 3}, {"sent": ["a", "b", "c"]}, {"sent": ["a"]}, {"sent": ["a", "b", "b"]}, {"booked": ["a"]}, {"booked": ["a", "b", "b"]},
        {"charged": 1}, {"reserved": 1}, {"leases": 1}, {"refused": set()}, {"refused": {"b", "c"}}, {"other_errors": ["d: TimeoutError"]},
        {"samples": 0},
    ):  # fmt: skip
        assert result(**change).problems(), change
