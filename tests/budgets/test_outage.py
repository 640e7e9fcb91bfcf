"""The ledger away and back: a real SQLite file that another connection holds."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.budgets import gate as gates
from spanledger.errors import BudgetExceeded
from spanledger.ledger import database
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import State, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spanledger.model import Entry

    NewEntry = Callable[..., Entry]
    OpenDesk = Callable[..., Any]

TOKENS = {"TOK": "1000 tokens per day, warn at 10%"}


class Lock:
    """An exclusive lock on the file, held by a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def take(self) -> None:
        self._connection.execute("BEGIN EXCLUSIVE")

    def give(self) -> None:
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


class Counting(SqliteLedger):
    """Remembers how it was asked: to reserve, whether waiting; to settle, by which thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.waits: list[bool] = []
        self.settlers: list[str] = []

    @property
    def asked(self) -> int:
        return len(self.waits)

    def reserve(self, *args: Any, wait: bool = True) -> Any:
        self.waits.append(wait)
        return super().reserve(*args, wait=wait)

    def settle(self, *args: Any, wait: bool = True) -> Any:
        self.settlers.append(threading.current_thread().name)
        return super().settle(*args, wait=wait)


@pytest.fixture
def file_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    ledger = Counting(tmp_path / "ledger.db")
    ledger.check()
    return ledger


@pytest.fixture
def lock(file_ledger: Counting) -> Iterator[Lock]:
    lock = Lock(file_ledger.path)
    yield lock
    lock.close()


def test_calls_pass_while_it_is_away_and_are_booked_when_it_is_back(
    file_ledger: Counting, lock: Lock, entry: NewEntry, open_desk: OpenDesk
) -> None:
    desk = open_desk(file_ledger, TOKENS)
    lock.take()
    drafts = [entry() for _ in range(5)]
    admissions = [desk.admit(draft) for draft in drafts]
    assert [reserved for _, reserved in admissions] == [False] * 5
    assert file_ledger.asked == 1, "the others did not wait for a ledger that was just found away"
    for draft, admission in zip(drafts, admissions, strict=True):
        desk.finish(draft, admission, used=30)
    assert not desk.gate.spool.flush(0.3)
    lock.give()
    assert desk.gate.spool.flush(10.0)
    assert [written.id for written in file_ledger.entries()] == [draft.id for draft in drafts]
    assert desk.balance("TOK") == (150, 0)
    assert desk.told == [("budget_threshold", "TOK", 10)]
    assert desk.admit(entry())[1], "what the spool settled shows that the ledger is back"


@pytest.mark.parametrize("policy", ["allow", "block"])
def test_an_account_that_cannot_be_read_is_no_ledger_that_is_away(
    file_ledger: Counting, entry: NewEntry, open_desk: OpenDesk, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    desk = open_desk(file_ledger, {"EACH": "1000 tokens per customer per day"}, on_ledger_error=policy)
    for customer in ("acme", "globex"):
        desk.call(entry(customer=customer))
    with sqlite3.connect(file_ledger.path) as connection:
        connection.execute("UPDATE account SET spent = 'much' WHERE scope LIKE '%acme%'")
    connection.close()
    if policy == "block":
        with pytest.raises(BudgetExceeded, match="SPANLEDGER_ON_LEDGER_ERROR is block"):
            desk.admit(entry(customer="acme"))
    else:
        desk.call(entry(customer="acme"))
        assert desk.gate.spool.flush(10.0)
        assert len(list(file_ledger.entries())) == 3, "it is in the books"
    assert "'much' in account" in caplog.text
    assert desk.admit(entry(customer="globex"))[1], "others are asked for"


def test_calls_are_refused_while_it_is_away_if_so_configured(
    file_ledger: Counting, lock: Lock, entry: NewEntry, open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(file_ledger, TOKENS, on_ledger_error="block")
    lock.take()
    for _ in range(3):
        with pytest.raises(
            BudgetExceeded, match="this call was refused: the ledger cannot be reached and SPANLEDGER_ON_LEDGER_ERROR is block"
        ):
            desk.admit(entry())
    assert file_ledger.asked == 1
    monkeypatch.setattr(gates, "_PAUSE", 0.0)
    desk.gate._look_again = 1e-9  # the pause is over
    with pytest.raises(BudgetExceeded):
        desk.admit(entry())
    lock.give()
    assert desk.admit(entry())[1]
    assert file_ledger.waits == [True, False, False], "nobody waits for a ledger that is known to be away"
    assert desk.admit(entry())[1]
    assert file_ledger.waits[-1]


def test_a_caller_that_cannot_wait_is_let_pass_while_it_is_known_to_be_away(
    file_ledger: Counting, lock: Lock, entry: NewEntry, open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "_PAUSE", 0.0)
    desk = open_desk(file_ledger, TOKENS)
    lock.take()
    desk.admit(entry())
    assert not desk.admit(entry(), wait=False)[1]
    assert file_ledger.asked == 2
    lock.give()
    assert desk.admit(entry(), wait=False)[1]


def test_a_reserved_call_that_cannot_be_settled_is_settled_later(
    file_ledger: Counting, lock: Lock, entry: NewEntry, open_desk: OpenDesk
) -> None:
    desk = open_desk(file_ledger, TOKENS)
    first, second = entry(), entry()
    admissions = [desk.admit(first), desk.admit(second)]
    assert desk.balance("TOK") == (0, 200)
    lock.take()
    desk.finish(first, admissions[0], used=10)
    desk.finish(second, admissions[1], used=20)
    assert file_ledger.settlers.count(threading.current_thread().name) == 1, "the second did not wait for it again"
    assert desk.gate.spool.leases == {first.id, second.id}
    lock.give()
    assert desk.gate.spool.flush(10.0)
    assert (desk.balance("TOK"), file_ledger.open_leases(), desk.gate.spool.leases) == ((30, 0), 0, set())
    assert [written.usage for written in file_ledger.entries()] == [Usage(0, 10), Usage(0, 20)]


def test_a_release_that_cannot_be_written_is_left_to_the_lease(
    file_ledger: Counting, lock: Lock, entry: NewEntry, open_desk: OpenDesk, caplog: pytest.LogCaptureFixture
) -> None:
    desk = open_desk(file_ledger, TOKENS)
    draft = entry()
    admission = desk.admit(draft)
    lock.take()
    desk.gate.release(draft.id, admission)
    lock.give()
    assert "cannot give a reservation back" in caplog.text
    assert desk.gate.spool.leases == set()
    assert [swept.usage.state for swept in file_ledger.sweep(1e11)] == [State.UNKNOWN]


def test_calls_seen_afterwards_are_kept_too(file_ledger: Counting, lock: Lock, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(file_ledger, TOKENS)
    lock.take()
    for used in (40, 50):
        desk.gate.settle_unreserved(entry(usage=Usage(used, 2)))
    assert file_ledger.settlers.count(threading.current_thread().name) == 1, "the second did not wait for it again"
    lock.give()
    assert desk.gate.spool.flush(10.0)
    assert desk.balance("TOK") == (94, 0)


def test_many_threads_survive_an_outage_without_losing_a_call(
    file_ledger: Counting, lock: Lock, entry: NewEntry, open_desk: OpenDesk
) -> None:
    desk = open_desk(file_ledger, {"N": "1M calls per day"})
    half, away = threading.Barrier(5), threading.Event()

    def caller() -> None:
        for number in range(20):
            if number == 10:
                half.wait(10)
                away.wait(10)
            desk.call(entry(), used=1)

    threads = [threading.Thread(target=caller) for _ in range(4)]
    for thread in threads:
        thread.start()
    half.wait(10)
    lock.take()
    away.set()
    for thread in threads:
        thread.join(30)
    lock.give()
    assert desk.gate.spool.flush(10.0)
    assert desk.balance("N") == (80, 0)
    assert len({written.id for written in file_ledger.entries()}) == 80


def test_several_damaged_budgets_are_told_of_once_each(
    file_ledger: Counting, entry: NewEntry, open_desk: OpenDesk, caplog: pytest.LogCaptureFixture
) -> None:
    desk = open_desk(file_ledger, {"EACH": "1000 tokens per customer per day"})
    for customer in ("acme", "globex"):
        desk.call(entry(customer=customer))
    with sqlite3.connect(file_ledger.path) as connection:
        connection.execute("UPDATE account SET spent = 'much'")
    connection.close()
    for customer in ("acme", "globex", "acme", "globex"):
        desk.admit(entry(customer=customer))
    told = [record.getMessage() for record in caplog.records if "budgets cannot be read" in record.message]
    assert len(told) == 2
    assert all(customer in line for customer, line in zip(("acme", "globex"), told, strict=True))
