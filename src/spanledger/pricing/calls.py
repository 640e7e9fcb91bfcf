"""Calls of tools that are billed as tokens of another model than the one that called them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spanledger.model import CostStatus, Usage
from spanledger.pricing.rates import Rates, charge, tool_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.model import Cost

_WORST_FIRST = (CostStatus.UNPRICED, CostStatus.PARTIAL, CostStatus.ESTIMATED, CostStatus.EXACT)


def charge_with_calls(rates: Rates, usage: Usage, price: Callable[[str, Usage], Cost]) -> tuple[int | None, CostStatus]:
    """As ``charge``, with ``price`` for what other models did, unless the rates have a price per call."""
    costs = _costs(rates, usage, price)
    unpriced = {name: count for name, count in (usage.tools or {}).items() if name not in costs}
    nano, status = charge(rates, replace(usage, tools=unpriced or None))
    if not costs:
        return nano, status
    found = {cost.status for cost in costs.values()} | {status}
    worst = next(known for known in _WORST_FIRST if known in found)
    total = (nano or 0) + sum(cost.nano_usd or 0 for cost in costs.values())
    return total, CostStatus.PARTIAL if worst is CostStatus.UNPRICED else worst


def _costs(rates: Rates, usage: Usage, price: Callable[[str, Usage], Cost]) -> dict[str, Cost]:
    """What tools did with other models, by tool, where that has a price."""
    tools = usage.tools or {}
    costs = {
        name: price(done.model, done.usage)
        for name, done in (usage.delegated or {}).items()
        if name in tools and tool_unit(name) not in rates.per_request
    }
    return {name: cost for name, cost in costs.items() if cost.nano_usd is not None}
