"""What a run's own sums say of replaced attempts is what the ledger says, however attempts overlap, end late or end again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spanledger.engine.runs import Run
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, State, Usage

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
