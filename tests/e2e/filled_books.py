"""Books that the tests of the commands fill, and the commands."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from spanledger.cli import main
from spanledger.ledger.spans import SpanRow
from spanledger.model import Activity, Cost, CostStatus, Entry, Hold, Unit, Usage

if TYPE_CHECKING:
    from spanledger.ledger.ledger import Ledger
    from spanledger.model import Charge

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER_TRACE = "0af7000000000000000000000000000a"
JANUARY = 1_767_225_600.0
TEAM = Hold("TEAM", "TEAM", "customer=acme", Unit.USD, 1_000_000, JANUARY + 10**9)
QUARTER = (TEAM, 250_000)


def spanledger(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def in_json(*arguments: str) -> Any:
    result = spanledger(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def entry(name: str, *, model: str | None = "gpt-4o-mini", nano: int | None = 123_000, **changes: Any) -> Entry:
    cost = Cost(nano, CostStatus.EXACT if nano is not None else CostStatus.UNPRICED)
    made = Entry(
        name, JANUARY, Activity.LLM, "openai", "chat", model, trace_id=TRACE, span_id=f"{name:0>16}", usage=Usage(1_200, 34), cost=cost
    )
    return replace(made, **changes)


def book(ledger: Ledger, *entries: Entry, charges: tuple[Charge, ...] = ()) -> None:
    for made in entries:
        ledger.reserve(made, charges, time.time() + 60)
        ledger.settle(made, charges)


def span(name: str, span_id: str, parent: str | None = None, trace: str = TRACE, **changes: Any) -> SpanRow:
    row = {
        "trace_id": trace, "span_id": span_id, "parent_id": parent, "name": name, "kind": "internal", "start_ns": 10**18,
        "end_ns": 10**18 + 2 * 10**8,
        "status": "unset", "status_message": None, "scope": "spanledger", "attributes": {}, "events": [], "resource": {}, "links": [],
    }  # fmt: skip
    return SpanRow(**{**row, **changes})
