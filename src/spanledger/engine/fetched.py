"""Settles the reading of a response that the provider keeps: it is in the books once, however often and by whomever it is read."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spanledger.model import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.engine.call import Call
    from spanledger.model import Entry

_PATIENCE = 5.0
"""Seconds for which the background waits until what was queued is in the books."""


def settle(call: Call, tell: Callable[[], None]) -> None:
    """Writes the books, unless this was another reading of a response that is in them already, and tells of it.

    An event loop waits for nobody: it is done in the background where another reading is being settled or may not be in the books yet.
    """
    runtime = call.runtime
    is_late = call.is_async and runtime.gate.spool.is_behind()
    if is_late or not runtime.fetching.acquire(blocking=not call.is_async):
        runtime.reaper.put(partial(runtime.guard.run, "end", _settle_in_background, call, tell))
        return
    try:
        _settle(call)  # of two that read it at once the second finds what the first has written
    finally:
        runtime.fetching.release()
        tell()


def _settle_in_background(call: Call, tell: Callable[[], None]) -> None:
    call.runtime.gate.spool.flush(_PATIENCE)
    call.is_async = False  # this thread may wait
    settle(call, tell)


def _settle(call: Call) -> None:
    known = _known(call)
    if known is None:
        call.settle()
    else:
        _settle_again(call, known)


def _settle_again(call: Call, known: Entry) -> None:
    entry = call.entry
    call.give_back(wait=not call.is_async)
    call.counted = known.usage.state is not State.EXACT and entry.usage.state is State.EXACT
    if call.counted:  # it was made in the background, and only now tells what it used
        call.completes, entry.activity = known, known.activity  # whatever else the step is for that fetches it
        reason = entry.finish_reason or known.finish_reason
        completed = replace(known, usage=entry.usage, cost=entry.cost, finish_reason=reason)
        call.runtime.gate.settle_unreserved(completed, wait=not call.is_async)


def _known(call: Call) -> Entry | None:
    if call.response.id is None:
        return None
    found: Entry | None = call.runtime.guard.run("find_response", call.runtime.ledger.find_response, call.response.id)
    return found
