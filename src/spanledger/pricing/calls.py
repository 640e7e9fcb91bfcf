"""Calls of tools that are billed as tokens of another model than the one that called them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spanledger.model import CostStatus, Usage
from spanledger.pricing.rates import Rates, charge, tool_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.model import Cost


class Calls(int):
    """A number of calls, to stand in ``Usage.tools``, that knows what they used and of which model."""

    def __new__(cls, count: int, model: str = "", usage: Usage | None = None) -> Calls:  # defaults, so that it can be copied
        """``count`` calls that together used ``usage`` of ``model``."""
        calls = super().__new__(cls, count)
        calls.model, calls.usage = model, usage or Usage()
        return calls

    model: str
    usage: Usage


def charge_with_calls(rates: Rates, usage: Usage, price: Callable[[str, Usage], Cost]) -> tuple[int | None, CostStatus]:
    """As ``charge``, with ``price`` for what other models did, unless the rates have a price per call."""
    tools = usage.tools or {}
    costs = {
        name: price(calls.model, calls.usage)
        for name, calls in tools.items()
        if isinstance(calls, Calls) and tool_unit(name) not in rates.per_request
    }
    unpriced = {name: count for name, count in tools.items() if name not in costs or costs[name].nano_usd is None}
    nano, status = charge(rates, replace(usage, tools=unpriced or None))
    if len(unpriced) == len(tools):
        return nano, status
    found = {cost.status for cost in costs.values() if cost.nano_usd is not None} | {status}
    worst = next(known for known in (CostStatus.UNPRICED, CostStatus.PARTIAL, CostStatus.ESTIMATED, CostStatus.EXACT) if known in found)
    total = (nano or 0) + sum(cost.nano_usd or 0 for cost in costs.values())
    return total, CostStatus.PARTIAL if worst is CostStatus.UNPRICED else worst
