"""Settles the reading of a response that the provider keeps: it is in the books once, however often and by whomever it is read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spanledger.model import State

if TYPE_CHECKING:
    from spanledger.budgets.gate import Admission
    from spanledger.engine.call import Call
    from spanledger.model import Entry


def settle(call: Call, admission: Admission | None) -> None:
    """Writes the books, unless this was another reading of a response that is in them already."""
    with call.runtime.fetching:  # of two that read it at once the second finds what the first has written
        known = _known(call)
        if known is None:
            call.settle()
        else:
            _settle_again(call, admission, known)


def _settle_again(call: Call, admission: Admission | None, known: Entry) -> None:
    entry, gate = call.entry, call.runtime.gate
    if admission is not None:
        gate.release(admission)
    call.counted = known.usage.state is not State.EXACT and entry.usage.state is State.EXACT
    if call.counted:  # it was made in the background, and only now tells what it used
        call.completes, entry.activity = known, known.activity  # whatever else the step is for that fetches it
        reason = entry.finish_reason or known.finish_reason
        gate.settle_unreserved(replace(known, usage=entry.usage, cost=entry.cost, finish_reason=reason))


def _known(call: Call) -> Entry | None:
    if call.response.id is None:
        return None
    found: Entry | None = call.runtime.guard.run("find_response", call.runtime.ledger.find_response, call.response.id)
    return found
