"""Any schedule of calls on several threads keeps every blocking account within its limit, and the sums come out right."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger.errors import BudgetExceeded
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import Entry

    NewEntry = Callable[..., Entry]

LIMIT = 300
BUDGETS = {
    "ALL": f"{LIMIT} tokens per day",
    "EACH": f"{LIMIT // 2} tokens per customer per day",
    "USD": f"{LIMIT / 1e8:.8f} USD per month for customer=a",  # 10 nano-USD a token
    "N": "12 calls per hour",
    "SOFT": "1 call per day, then warn",
}


class Step(NamedTuple):
    customer: str
    bound: int
    used: float
    """Part of the bound that is used; negative: the call is given back."""


steps = st.lists(st.builds(Step, st.sampled_from("ab"), st.integers(1, 90), st.sampled_from([0.0, 0.3, 1.0, 1.0, -1.0])), max_size=6)
schedules = st.lists(steps, min_size=2, max_size=4)


def within_limits(desk: Any) -> None:
    for balance in desk.ledger.balances(0):
        assert balance.spent + balance.reserved <= balance.limit or not balance.blocking, balance


def work(desk: Any, entry: NewEntry, steps: list[Step], start: threading.Barrier) -> list[Entry]:
    settled = []
    start.wait(10)
    for step in steps:
        draft = entry(customer=step.customer)
        try:
            admission = desk.admit(draft, max_output=step.bound)
        except BudgetExceeded:
            continue
        within_limits(desk)
        if step.used < 0:
            desk.gate.release(draft.id, admission)
        else:
            desk.finish(draft, admission, used=int(step.bound * step.used))
            settled.append(draft)
        within_limits(desk)
    return settled


def run(ledger: Ledger, schedule: list[list[Step]], entry: NewEntry, open_desk: Callable[..., Any]) -> None:
    desk = open_desk(ledger, BUDGETS)
    start = threading.Barrier(len(schedule))
    with ThreadPoolExecutor(len(schedule)) as pool:
        done = [pool.submit(work, desk, entry, steps, start) for steps in schedule]
        settled = [one for future in done for one in future.result(30)]
    used = {customer: sum(one.usage.total for one in settled if one.keys["customer"] == customer) for customer in "ab"}
    assert desk.balance("ALL") == (used["a"] + used["b"], 0)
    assert {customer: desk.balance("EACH", f"customer={customer}") for customer in "ab"} == {"a": (used["a"], 0), "b": (used["b"], 0)}
    assert desk.balance("USD") == (10 * used["a"], 0)
    assert desk.balance("N") == desk.balance("SOFT") == (len(settled), 0)
    assert (ledger.open_leases(), len(list(ledger.entries()))) == (0, len(settled))
    told = [(notice.budget, notice.scope, notice.percent) for notice in desk.notices if notice.kind == "budget_threshold"]
    assert len(told) == len(set(told)), "each threshold of each account is told once"
    desk.gate.spool.close(5.0)
    ledger.close()


@settings(max_examples=40, deadline=None)
@given(schedules)
def test_in_memory(schedule: list[list[Step]]) -> None:
    run(MemoryLedger(), schedule, *_builders())


@settings(max_examples=12, deadline=None)
@given(schedules)
def test_in_sqlite(schedule: list[list[Step]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(SqliteLedger(Path(folder) / "ledger.db"), schedule, *_builders())


def _builders() -> tuple[NewEntry, Callable[..., Any]]:
    return _BUILDERS[-1]


_BUILDERS: list[tuple[NewEntry, Callable[..., Any]]] = []


@pytest.fixture(autouse=True)
def builders(entry: NewEntry, open_desk: Callable[..., Any]) -> None:
    """Hypothesis runs a test many times with one set of fixtures; these two are stateless enough for that."""
    _BUILDERS.append((entry, open_desk))


def test_parallel_steps_cannot_overrun_together(ledger: Ledger, entry: NewEntry, open_desk: Callable[..., Any]) -> None:
    desk = open_desk(ledger, {"N": "7 calls per workflow"})
    start = threading.Barrier(8)

    def step(_number: int) -> int:
        start.wait(10)
        passed = 0
        for _ in range(4):
            try:
                desk.admit(entry(workflow="w", execution="x"))
                passed += 1
            except BudgetExceeded:
                pass
        return passed

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(step, range(8))) == 7
    assert desk.balance("N", "workflow=w, run=x") == (0, 7)


def test_thresholds_are_told_once_by_many_threads(ledger: Ledger, entry: NewEntry, open_desk: Callable[..., Any]) -> None:
    desk = open_desk(ledger, {"N": "10 calls per day, warn at 50%, then warn"})
    start = threading.Barrier(6)

    def caller(_number: int) -> None:
        start.wait(10)
        for _ in range(5):
            desk.call(entry())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(caller, range(6)))
    assert sorted(notice.percent for notice in desk.notices) == [50, 100]
