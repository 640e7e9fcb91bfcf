"""What a run's own sums say of replaced attempts is what the ledger says, however attempts overlap, end late or end again."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spanledger
from spanledger.engine.runs import Run
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, State, Usage
from spanledger.telemetry.semconv import RECON_SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

attempts = st.integers(1, 3)
calls = st.tuples(attempts, st.sampled_from(State), st.integers(1, 50))
ends = st.tuples(attempts, st.booleans())


def _entry(number: int, attempt: int, state: State, tokens: int) -> Entry:
    usage, cost = Usage(tokens, 0, state=state), Cost(tokens, CostStatus.EXACT)
    return Entry(str(number), number, Activity.LLM, "p", "chat", execution="run", step="draft", attempt=attempt, usage=usage, cost=cost)


@given(st.lists(calls | ends, max_size=14))
def test_the_run_and_the_ledger_agree_on_what_was_replaced(events: list[Any]) -> None:
    run, ledger, told = Run(), MemoryLedger(), [0, 0, 0]
    for number, event in enumerate(events):
        if len(event) == 2:
            attempt, ok = event
            ledger.end_step("run", "draft", attempt, ok=ok)
            added = [tuple(replaced) for replaced in run.end_attempt("draft", attempt, ok=ok).values()]
        else:
            ledger.settle(_entry(number, *event), [])
            _, state, tokens = event
            is_replaced = run.add(_entry(number, *event))
            added = [(1, 0 if state is State.UNKNOWN else tokens, tokens)] if is_replaced else []
        told = [sum(column) for column in zip(told, *added, strict=True)]
        sums = [(one.superseded_operations, one.superseded_tokens, one.superseded_nano_usd) for one in ledger.sums()]
        assert told == [sum(column) for column in zip((0, 0, 0), *sums, strict=True)]


@pytest.mark.parametrize(("first", "billable"), [(ConnectionError, 1), (None, 2)])
def test_a_failed_run_that_is_tried_again_under_its_id_counts_on(make_house: Any, first: type[Exception] | None, billable: int) -> None:
    """A queue runs its task again in the same worker. A run that did not fail is continued: the same step again is no other attempt."""
    house = make_house()

    @spanledger.plugin(price="1 USD")
    def look_up() -> None:
        """Costs something."""

    for error in (first, None):
        with suppress(ConnectionError), spanledger.workflow("ticket", execution_id="task-42"), spanledger.step("answer"):
            look_up()
            if error is not None:
                raise error
    assert [entry.superseded for entry in house.entries] == [billable == 1, False]
    told = {point.attributes[RECON_SOURCE]: point.value for point in house.metric("spanledger.recon.superseded.operations")}
    assert told == ({"sdk": 1, "execution": 1, "ledger": 1} if billable == 1 else {"ledger": 0})


def test_a_run_whose_reader_left_is_continued(make_house: Any) -> None:
    """That a reader closes a generator early is no failure: what was read is billable, also when the conversation goes on."""
    house = make_house()

    @spanledger.plugin(price="1 USD")
    def look_up() -> None:
        """Costs something."""

    @spanledger.workflow("chat", execution_id="talk-7")
    def answer() -> Iterator[str]:
        with spanledger.step("answer"):
            look_up()
            yield "piece"
            yield "piece"

    for _ in range(2):
        pieces = answer()
        next(pieces)
        pieces.close()
        house.settle()
    assert [entry.superseded for entry in house.entries] == [False, False]
    assert {execution.status for execution in house.runtime.ledger.executions()} == {"cancelled"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_goes_on_with_its_run() -> None:
    """Whatever another thread was just adding to it, or to one that failed: that thread does not exist there."""
    with suppress(ConnectionError), spanledger.workflow("ticket", execution_id="task-43") as failed:
        raise ConnectionError
    with spanledger.workflow("report") as run:
        with run._run._lock, failed._run._lock:
            if (child := os.fork()) == 0:
                signal.alarm(20)  # it would wait for ever
                with spanledger.step("draft"), spanledger.workflow("ticket", execution_id="task-43") as again, spanledger.step("answer"):
                    os._exit(len(run.totals()) + len(again.totals()))
        assert os.waitpid(child, 0)[1] == 0
