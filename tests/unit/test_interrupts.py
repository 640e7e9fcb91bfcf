"""What a signal handler of the application raises in the middle of our code reaches the application; our own errors do not."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import spanledger
from spanledger import interrupts
from spanledger.engine.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class TimeLimit(Exception):  # noqa: N818  # as those of task queues: a subclass of Exception that names no error
    """What the application's handler raises."""


def plain(_number: int, _frame: Any) -> None:
    raise TimeLimit


def with_a_name(_name: str, _number: int, _frame: Any) -> None:
    raise TimeLimit


def any_arguments(*_args: Any) -> None:
    raise TimeLimit


def deep(number: int, frame: Any) -> None:
    del number, frame
    any_arguments()


class Limits:
    """Handlers that are no functions."""

    def method(self, _number: int, _frame: Any) -> None:
        raise TimeLimit

    def __call__(self, number: int, frame: Any) -> None:
        self.method(number, frame)


HANDLERS = [plain, any_arguments, partial(with_a_name, "soft"), Limits().method, Limits(), lambda _number, _frame: any_arguments()]


@pytest.fixture
def handle() -> Iterator[Callable[[Any], None]]:
    """Sets the handler of SIGALRM for the test."""
    before = signal.getsignal(signal.SIGALRM)
    yield partial(signal.signal, signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def strike() -> None:
    signal.raise_signal(signal.SIGALRM)


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_a_handler_raises_passes_the_guard(handle: Callable[[Any], None], handler: Any) -> None:
    guard, counted = Guard(), []
    guard.count = counted.append
    handle(handler)
    with pytest.raises(TimeLimit):
        guard.run("place", strike)
    assert counted == []


@pytest.mark.parametrize("error", [ZeroDivisionError, TimeoutError, TimeLimit])
def test_what_our_code_raises_does_not(error: type[Exception]) -> None:
    def bug(*_args: Any) -> None:
        raise error

    guard, counted = Guard(), []
    guard.count = counted.append
    assert guard.run("place", bug, 14, [14]) is None
    assert counted == ["place"]


def test_an_error_of_ours_in_a_call_that_a_handler_makes_stops_there(handle: Callable[[Any], None]) -> None:
    guard, counted = Guard(), []
    guard.count = counted.append
    handle(lambda _number, _frame: guard.run("inner", any_arguments))
    guard.run("outer", strike)
    assert counted == ["inner"]


def test_who_was_interrupted_is_known_in_the_handler_only(handle: Callable[[Any], None]) -> None:
    class Thing:
        def work(self) -> None:
            seen.append(interrupts.is_interrupted(self))
            strike()

    def handler(_number: int, _frame: Any) -> None:
        seen.extend(interrupts.is_interrupted(one) for one in (thing, other))

    seen: list[bool] = []
    thing, other = Thing(), Thing()
    handle(handler)
    thing.work()
    assert seen == [False, True, False]


called: list[str] = []


@spanledger.plugin(name="tool", price="0.001 USD")
def tool() -> None:
    """Costs a million nano-USD."""
    called.append("tool")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process's connection writes into the file for as long as this lasts."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")


@pytest.fixture
def house(make_house: Callable[..., Any], tmp_path: Path, handle: Callable[[Any], None]) -> Any:
    """An installation whose ledger is a file, with a budget; it hides its errors. SIGALRM raises ``TimeLimit``."""
    handle(plain)
    called.clear()
    return make_house(
        SPANLEDGER_LEDGER=f"sqlite:///{tmp_path}/ledger.db", XDG_STATE_HOME=f"{tmp_path}/state", SPANLEDGER_DEBUG="false",
        SPANLEDGER_BUDGET_DAY="0.002 USD per day",
    )  # fmt: skip


def alarm() -> None:
    """Rings soon; the ledger is waited for much longer."""
    signal.setitimer(signal.ITIMER_REAL, 0.2)


def call_in_time() -> None:
    alarm()
    tool()


def run_in_time(away: Any) -> None:
    """The ledger is away when the run ends."""
    with spanledger.workflow("answer", execution_id="run"):
        away.__enter__()
        alarm()


def step_in_time(away: Any) -> None:
    """The ledger is away when the step ends."""
    with spanledger.step("fetch"):
        tool()
        away.__enter__()
        alarm()


def test_a_time_limit_ends_the_wait_for_a_busy_ledger_before_a_call(house: Any, tmp_path: Path) -> None:
    with held(tmp_path / "ledger.db"), pytest.raises(TimeLimit):
        call_in_time()
    assert called == []
    assert house.runtime.ledger.open_leases() == 0
    tool()
    tool()
    with pytest.raises(spanledger.BudgetExceeded):
        tool()
    assert len(house.entries) == 2
    assert sum(point.value for point in house.metric("spanledger.internal_errors")) == 0


def test_a_time_limit_ends_the_wait_at_the_end_of_a_run_which_is_written_nevertheless(house: Any, tmp_path: Path) -> None:
    away = held(tmp_path / "ledger.db")
    with pytest.raises(TimeLimit):
        run_in_time(away)
    assert list(house.runtime.ledger.executions()) == []
    away.__exit__(None, None, None)
    assert [span.name for span in house.spans] == ["invoke_workflow answer"]
    assert [(run.id, run.status) for run in house.runtime.ledger.executions()] == [("run", "completed")]


def test_a_time_limit_ends_the_wait_at_the_end_of_a_step_which_is_written_nevertheless(house: Any, tmp_path: Path) -> None:
    away = held(tmp_path / "ledger.db")
    with spanledger.workflow("answer"):
        with pytest.raises(TimeLimit):
            step_in_time(away)
        away.__exit__(None, None, None)
        with spanledger.step("fetch"):
            tool()
    assert [(entry.attempt, entry.superseded) for entry in house.entries] == [(1, True), (2, False)]
    assert sorted(span.name for span in house.spans if "step" in span.name) == ["step fetch", "step fetch"]


def test_a_time_limit_ends_the_wait_for_a_busy_ledger_after_a_call_which_is_booked_nevertheless(house: Any, tmp_path: Path) -> None:
    away = held(tmp_path / "ledger.db")

    @spanledger.plugin(name="slow", price="0.001 USD")
    def slow() -> None:
        away.__enter__()
        alarm()

    with pytest.raises(TimeLimit):
        slow()
    away.__exit__(None, None, None)
    (entry,) = house.entries
    assert (entry.plugin, entry.error, entry.cost.nano_usd) == ("slow", None, 1_000_000)
    assert house.runtime.ledger.open_leases() == len(house.runtime.open_calls) == 0
    assert len(house.call_spans) == 1
    assert sum(point.value for point in house.metric("spanledger.calls")) == 1
