"""Ends of steps and of workflow runs are written as surely as settlements: later, by another process, twice or in any order."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spanledger
from spanledger.budgets import spill
from spanledger.budgets.spill import RunEnd, Settlement, StepEnd
from spanledger.budgets.spool import Spool
from spanledger.errors import LedgerError
from spanledger.ledger import database
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, ActivityTotal, Cost, CostStatus, Entry, Execution, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@spanledger.plugin(name="tool", price="0.001 USD")
def tool() -> None:
    """Costs a million nano-USD."""


@pytest.fixture
def make_books(make_house: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """An installation whose ledger is a file."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    return lambda: make_house(SPANLEDGER_LEDGER=f"sqlite:///{tmp_path}/ledger.db", XDG_STATE_HOME=f"{tmp_path}/state")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another connection holds the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def billable(ledger: Any) -> tuple[int, int]:
    """Calls and nano-USD."""
    (total,) = ledger.totals()
    return total.billable_calls, total.billable_nano_usd


def retry_while(away: Any) -> None:
    """A step's two attempts: ``away`` covers the end of the first, all of the second and the end of the run."""
    with spanledger.workflow("answer", execution_id="run"):
        first = spanledger.step("fetch")
        first.__enter__()
        tool()
        away.__enter__()
        first.__exit__(None, None, None)
        with spanledger.step("fetch"):
            tool()


def test_ends_that_a_locked_ledger_does_not_take_are_written_when_it_is_free(make_books: Callable[[], Any], tmp_path: Path) -> None:
    house, away = make_books(), locked(tmp_path / "ledger.db")
    retry_while(away)
    away.__exit__(None, None, None)
    assert [(entry.attempt, entry.superseded) for entry in house.entries] == [(1, True), (2, False)]
    assert billable(house.runtime.ledger) == (1, 1_000_000)
    (run,) = house.runtime.ledger.executions()
    assert (run.id, run.status, run.totals["plugin"].calls) == ("run", "completed", 2)


@contextmanager
def full(ledger: Any) -> Iterator[None]:
    """The file of the ledger cannot grow, as on a full disk."""
    pages, filler = "PRAGMA max_page_count", "x" * 200_000
    most = ledger._writer.write(lambda db: db.execute(pages).fetchone()[0])
    ledger._writer.write(lambda db: db.execute(f"{pages} = 1"))  # SQLite makes it the present size
    with pytest.raises(LedgerError, match="full"):
        ledger.append_audit(1.0, "filler", filler)
    yield
    ledger._writer.write(lambda db: db.execute(f"{pages} = {most}"))


def test_ends_that_a_full_disk_does_not_take_are_written_when_there_is_room(make_books: Callable[[], Any]) -> None:
    house = make_books()
    ledger = house.runtime.ledger
    keys = {f"key{number}": "x" * 5000 for number in range(40)}  # more than the last page has room for
    away = full(ledger)
    with spanledger.workflow("answer", execution_id="run", **keys):
        away.__enter__()
    assert list(ledger.executions()) == []
    away.__exit__(None, None, None)
    house.settle()
    assert [run.id for run in ledger.executions()] == ["run"]


APPLICATION = """
import sys
import spanledger
from spanledger.ledger import database
database.WAIT_SECONDS = 0.05

@spanledger.plugin(name="tool", price="0.001 USD")
def tool():
    pass

spanledger.instrument()
with spanledger.workflow("answer", execution_id="run"):
    for attempt in range(2):
        with spanledger.step("fetch"):
            tool()
            if not attempt:
                print("called", flush=True)
                sys.stdin.readline()
"""
NEXT = """
import threading
import spanledger
from spanledger.ledger.sqlite import SqliteLedger

swept, sweep = threading.Event(), SqliteLedger.sweep
SqliteLedger.sweep = lambda *args: (sweep(*args), swept.set())[0]

@spanledger.plugin(name="free", price="0 tokens")
def free():
    pass

spanledger.instrument()
free()
assert swept.wait(30)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a Python program whose ledger is the file."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_", "XDG_"))}
    own = {"HOME": f"{tmp_path}", "XDG_STATE_HOME": f"{tmp_path}/state", "SPANLEDGER_LEDGER": f"sqlite:///{tmp_path}/ledger.db"}
    children: list[subprocess.Popen[str]] = []

    def make(program: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**inherited, **own}
        )
        children.append(child)
        return child

    yield make
    for child in children:
        child.kill()
        child.wait()


def test_a_process_that_ends_while_the_ledger_is_away_leaves_its_ends_to_the_next(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    child = start(APPLICATION)
    assert child.stdout is not None
    assert child.stdout.readline() == "called\n"
    with locked(tmp_path / "ledger.db"):
        child.communicate("go on\n", timeout=60)
    (left,) = (tmp_path / "state" / "spanledger").glob("spill-*.jsonl")
    assert [type(record) for record in spill.read(left)] == [StepEnd, Settlement, StepEnd, RunEnd]
    copy = shutil.copy(left, tmp_path / "copy.jsonl")

    following = start(NEXT)
    following.communicate(timeout=60)

    assert following.returncode == 0
    ledger = SqliteLedger(tmp_path / "ledger.db")
    assert not left.exists()
    books = billable(ledger), ledger.sums(), list(ledger.entries()), list(ledger.executions())
    assert [(entry.step, entry.attempt, entry.superseded) for entry in books[2]] == [
        ("fetch", 1, True),
        ("fetch", 2, False),
        (None, None, False),
    ]
    assert books[0] == (2, 1_000_000)
    assert [run.status for run in books[3]] == ["completed"]
    assert Spool(ledger).replay(tmp_path / copy) == 4
    assert (billable(ledger), ledger.sums(), list(ledger.entries()), list(ledger.executions())) == books
    ledger.close()


class Counting(SqliteLedger):
    """Remembers which threads asked it to write ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.by: list[str] = []

    def end_step(self, *args: Any, **kwargs: Any) -> None:
        self.by.append(threading.current_thread().name)
        super().end_step(*args, **kwargs)


def test_the_ledger_is_waited_for_once_and_the_order_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    ledger = Counting(tmp_path / "ledger.db")
    ledger.check()
    spool, me = Spool(ledger), threading.current_thread().name
    with locked(ledger.path):
        for attempt in (1, 2, 3):
            spool.end(StepEnd("run", "fetch", attempt, ok=attempt == 1))
        assert not spool.flush(0.3)
    assert spool.flush(10.0)
    assert ledger.by.count(me) == 1
    spool.close(5.0)
    ledger.close()


async def _in_a_run() -> None:
    async with spanledger.workflow("managed"):
        pass


@spanledger.workflow("decorated")
async def _a_run() -> None:
    async with spanledger.step("fetch"):
        pass


async def _with_a_plain_run() -> None:
    with spanledger.workflow("plain"), spanledger.step("fetch"):
        pass


def test_where_an_event_loop_runs_ends_do_not_wait(make_house: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 1000.0)
    house = make_house(SPANLEDGER_LEDGER=f"sqlite:///{tmp_path}/ledger.db", XDG_STATE_HOME=f"{tmp_path}/state")
    for run in (_in_a_run, _a_run, _with_a_plain_run):
        away = locked(tmp_path / "ledger.db")
        away.__enter__()
        asyncio.run(run())
        away.__exit__(None, None, None)
        house.settle()
    assert [one.workflow for one in house.runtime.ledger.executions()] == ["managed", "decorated", "plain"]


def test_an_end_that_the_ledger_cannot_take_at_all_goes_to_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = MemoryLedger()
    monkeypatch.setattr(ledger, "end_step", lambda *_args, **_kwargs: 1 / 0)
    spool, end = Spool(ledger), StepEnd("run", "fetch", 1, ok=True)
    with pytest.raises(ZeroDivisionError):
        spool.end(end)
    assert spool.flush(5.0)
    assert f"not in the ledger: {spill.encode(end)}" in caplog.text
    spool.close(5.0)


texts = st.text(max_size=10)
numbers = st.integers(0, 2**40)
totals = st.builds(ActivityTotal, *[numbers] * 7, st.floats(0, 1e6))
times = st.floats(0, 1e10)
runs = st.builds(
    Execution, texts, texts, times, times, texts, st.dictionaries(texts, texts), st.dictionaries(texts, totals), st.none() | texts
)


@given(st.builds(StepEnd, texts, texts, st.integers(), st.booleans()) | st.builds(RunEnd, runs))
def test_ends_survive_their_line_of_json(end: StepEnd | RunEnd) -> None:
    line = spill.encode(end)
    assert "\n" not in line
    assert spill.decode(line) == end
    assert type(spill.decode(line)) is type(end)


def _records(successes: list[bool]) -> list[spill.Record]:
    """One call in each attempt of a step, each attempt's end, and a run recorded twice."""
    cost, records = Cost(10, CostStatus.EXACT), []
    for attempt, ok in enumerate(successes, 1):
        entry = Entry(
            f"e{attempt}", 1.0, Activity.LLM, "acme", "chat", execution="run", step="s", attempt=attempt, usage=Usage(1, 1), cost=cost
        )
        records += [Settlement(entry, []), StepEnd("run", "s", attempt, ok)]
    return [*records, *(RunEnd(Execution("run", "answer", 1.0, ended, status)) for ended, status in ((2.0, "failed"), (3.0, "completed")))]


def _books(records: list[spill.Record]) -> Any:
    ledger = MemoryLedger()
    for record in records:
        record.write(ledger)
    return sorted((entry.id, entry.superseded) for entry in ledger.entries()), billable(ledger), list(ledger.executions())


@given(st.lists(st.booleans(), min_size=1, max_size=4), st.data())
def test_written_twice_and_in_any_order_they_say_the_same(successes: list[bool], data: st.DataObject) -> None:
    records = _records(successes)
    again = data.draw(st.lists(st.sampled_from(records), max_size=4))
    assert _books(data.draw(st.permutations([*records, *again]))) == _books(records)
