"""Calls that are more than one prompt to one model: what tools did with other models, and what each of several prompts used."""

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
    own = charge(rates, replace(usage, tools=unpriced or None))
    return _sum([own, *((cost.nano_usd, cost.status) for cost in costs.values())])


def charge_parts(rates: Rates, usage: Usage, price: Callable[[str, Usage], Cost]) -> tuple[int | None, CostStatus]:
    """As ``charge``, for a call of several prompts: each at the rate for its size, and what was sent to another model at its price."""
    parts = usage.parts or []
    if not rates.tiers and all(part.model is None for part in parts):
        return charge(rates, usage)
    each, charged = replace(rates, per_call=None), []
    for model, used in parts:
        cost = None if model is None else price(model, used)
        charged.append(charge(each, used) if cost is None else (cost.nano_usd, cost.status))
    beside = Usage(0, 0, tools=usage.tools, state=usage.state, clamped=usage.clamped)
    return _sum([*charged, charge(rates, beside)])


def _sum(charged: list[tuple[int | None, CostStatus]]) -> tuple[int | None, CostStatus]:
    """All amounts, and the worst that is to be said of one of them. None if nothing has a price."""
    amounts = [nano for nano, _ in charged if nano is not None]
    if not amounts:
        return None, CostStatus.UNPRICED
    found = {status for _, status in charged}
    worst = next(known for known in _WORST_FIRST if known in found)
    return sum(amounts), CostStatus.PARTIAL if worst is CostStatus.UNPRICED else worst


def _costs(rates: Rates, usage: Usage, price: Callable[[str, Usage], Cost]) -> dict[str, Cost]:
    """What tools did with other models, by tool, where that has a price."""
    tools = usage.tools or {}
    costs = {
        name: price(done.model, done.usage)
        for name, done in (usage.delegated or {}).items()
        if name in tools and tool_unit(name) not in rates.per_request
    }
    return {name: cost for name, cost in costs.items() if cost.nano_usd is not None}
