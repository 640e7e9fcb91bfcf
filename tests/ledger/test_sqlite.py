"""The SQLite ledger when things are in its way: other writers, a full disk, errors in the middle."""

from __future__ import annotations

import collections
import signal
import sqlite3
import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.errors import LedgerBusy, LedgerError
from spanledger.ledger import database, rows
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, Execution, State, Usage

LATER = 2_000_000_000.0


@pytest.fixture
def other(sqlite_ledger):
    """A connection of somebody else to the same file."""
    sqlite_ledger.check()
    connection = sqlite3.connect(sqlite_ledger.path, isolation_level=None, timeout=0)
    yield connection
    connection.close()


@pytest.mark.parametrize("call", ["reserve", "settle"])
def test_who_does_not_want_to_wait_for_another_process_does_not(sqlite_ledger, other, make_entry, make_charge, balance, call):
    sqlite_ledger.settle(make_entry("first"), [make_charge(1)])
    arguments = (make_entry(), [make_charge(5)]) + ((LATER,) if call == "reserve" else ())
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerBusy, match="another process"):
        getattr(sqlite_ledger, call)(*arguments, wait=False)
    assert balance(sqlite_ledger) == (1, 0)
    other.execute("COMMIT")
    getattr(sqlite_ledger, call)(*arguments, wait=False)
    assert sum(balance(sqlite_ledger)) == 6


def test_who_does_not_want_to_wait_for_another_thread_does_not(sqlite_ledger, make_entry):
    inside, go_on = threading.Event(), threading.Event()

    def work(_: sqlite3.Connection) -> None:
        inside.set()
        assert go_on.wait(10)

    writer = threading.Thread(target=sqlite_ledger._writer.write, args=(work,))
    writer.start()
    assert inside.wait(10)
    with pytest.raises(LedgerBusy, match="another thread"):
        sqlite_ledger.reserve(make_entry(), [], LATER, wait=False)
    assert sqlite_ledger.open_leases() == 0, "reading goes on meanwhile"
    go_on.set()
    writer.join()
    assert sqlite_ledger.reserve(make_entry(), [], LATER, wait=False) is None


def test_waiting_ends_when_the_other_is_done(sqlite_ledger, other, make_entry):
    other.execute("BEGIN IMMEDIATE")
    waiter = threading.Thread(target=sqlite_ledger.settle, args=(make_entry(), []))
    waiter.start()
    assert sqlite_ledger.totals()[0].calls == 0
    other.execute("COMMIT")
    waiter.join(10)
    assert sqlite_ledger.totals()[0].calls == 1


def test_a_pause_that_gevent_exchanged_is_not_taken_within_a_lock_of_threads(sqlite_ledger, other, make_entry, monkeypatch):
    """It would let others go on, who stop all when they wait for that lock."""
    taken = []
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.02)
    monkeypatch.setattr(database.time, "sleep", taken.append)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="other processes held it"):
        sqlite_ledger.settle(make_entry(), [])
    assert not taken
    other.execute("ROLLBACK")


def test_waiting_has_an_end(sqlite_ledger, other, make_entry, monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.02)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="other processes held it") as caught:
        sqlite_ledger.settle(make_entry(), [])
    assert not isinstance(caught.value, LedgerBusy), "it did wait"
    other.execute("COMMIT")
    sqlite_ledger.settle(make_entry(), [])
    assert sqlite_ledger.totals()[0].calls == 1


def test_a_full_disk_changes_nothing_and_passes(sqlite_ledger, make_entry, make_charge, balance):
    sqlite_ledger.settle(make_entry("first"), [make_charge(1)])
    pages = "PRAGMA max_page_count"
    sqlite_ledger._writer.read(lambda db: db.execute(f"{pages} = 1").fetchone())  # SQLite makes it the present size
    entries = (make_entry(str(number), execution="x" * 500) for number in range(100))
    with pytest.raises(LedgerError, match="the disk is full; free some space"):
        collections.deque((sqlite_ledger.settle(entry, [make_charge(1)]) for entry in entries), maxlen=0)
    settled = sqlite_ledger.totals()[0].calls
    assert balance(sqlite_ledger) == (settled, 0), "accounts and entries agree"
    sqlite_ledger._writer.read(lambda db: db.execute(f"{pages} = 100000").fetchone())
    sqlite_ledger.settle(make_entry("after"), [make_charge(1)])
    assert balance(sqlite_ledger) == (settled + 1, 0)


WRITE_UNTIL_FULL = """
import resource, sys
from spanledger.errors import LedgerError
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Entry, Hold, Unit
ledger = SqliteLedger(sys.argv[1])
ledger.check()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
entries = (Entry(f"{number}", 1.0, Activity.LLM, "openai", "chat", model="x" * 1000) for number in range(1000))
try:
    for settled, entry in enumerate(entries):
        ledger.settle(entry, [(Hold("A", "A", "", Unit.CALLS, 10**9), 1)])
except LedgerError as error:
    print(settled, error)
"""


def test_a_file_that_may_not_grow(tmp_path, start, finished):
    out = finished(start(WRITE_UNTIL_FULL, tmp_path / "ledger.db"))
    settled, message = out.split(" ", 1)
    assert message.startswith(f"the ledger {tmp_path}/ledger.db cannot be used: the disk")
    ledger = SqliteLedger(tmp_path / "ledger.db")
    assert ledger.totals()[0].calls == ledger.balances(0)[0].spent == int(settled) > 0
    ledger.close()


def test_an_interrupt_in_the_middle_changes_nothing(sqlite_ledger, make_entry, make_charge, balance):
    sqlite_ledger.settle(make_entry("first"), [make_charge(1)])

    def interrupted(db: sqlite3.Connection) -> None:
        db.execute("UPDATE account SET spent = 99")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sqlite_ledger._writer.write(interrupted)
    assert balance(sqlite_ledger) == (1, 0)
    sqlite_ledger.settle(make_entry("second"), [make_charge(1)])
    assert balance(sqlite_ledger) == (2, 0)


def test_who_does_not_want_to_wait_for_another_reader_does_not(sqlite_ledger, make_entry):
    sqlite_ledger.settle(make_entry("first", response_id="r1"), [])
    with sqlite_ledger._reader._lock, pytest.raises(LedgerBusy):
        sqlite_ledger.find_response("r1", wait=False)
    assert sqlite_ledger.find_response("r1", wait=False).id == "first"


def test_what_a_signal_handler_interrupted_is_not_waited_for(sqlite_ledger, make_entry, make_charge, balance, monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 1000.0)
    sqlite_ledger.settle(make_entry("first"), [make_charge(1)])

    def handler(_number, _frame):
        with pytest.raises(LedgerBusy, match="interrupted"):
            sqlite_ledger.settle(make_entry("second"), [make_charge(1)])
        assert sqlite_ledger.find_response("none") is None, "reading goes on meanwhile"

    before = signal.signal(signal.SIGUSR1, handler)
    sqlite_ledger._writer.write(lambda _db: signal.raise_signal(signal.SIGUSR1))
    signal.signal(signal.SIGUSR1, before)
    sqlite_ledger.settle(make_entry("second"), [make_charge(1)])
    assert balance(sqlite_ledger) == (2, 0)


def test_numbers_beyond_64_bits_do_not_break_the_books(sqlite_ledger, make_entry, make_charge, balance, now):
    for number in range(20):
        sqlite_ledger.settle(make_entry(str(number), usage=Usage(2**80, 2**80), nano=2**80), [make_charge(2**62, limit=2**90)])
    assert balance(sqlite_ledger) == (2**63 - 1, 0)
    total = sqlite_ledger.totals()[0]
    assert (total.input_tokens, total.nano_usd, total.calls) == (20 * (2**53 - 1), 20 * (2**53 - 1), 20)
    assert isinstance(total.nano_usd, int)
    assert [one.limit for one in sqlite_ledger.balances(now)] == [2**63 - 1]


def test_damage_is_explained(tmp_path, make_entry):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    for number in range(200):
        ledger.settle(make_entry(str(number)), [])
    ledger.close()
    content = bytearray(ledger.path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    ledger.path.write_bytes(content)
    with pytest.raises(LedgerError, match="it is damaged; move the file away or restore it"):
        ledger.settle(make_entry("x"), [])


def test_reading_waits_for_nobody(sqlite_ledger, other, make_entry):
    sqlite_ledger.settle(make_entry(), [])
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM entry")
    assert sqlite_ledger.totals()[0].calls == 1
    assert len(list(sqlite_ledger.entries())) == 1


def test_a_slow_reader_keeps_nobody_waiting(sqlite_ledger, make_entry, now):
    for number in range(600):
        sqlite_ledger.settle(make_entry(str(number), time=now + number), [])
    reader = sqlite_ledger.entries()
    assert next(reader).id == "0"
    sqlite_ledger.settle(make_entry("while reading", time=now + 1000), [], wait=False)
    sqlite_ledger.close()
    assert [entry.id for entry in reader][-1] == "while reading"


@pytest.mark.parametrize(
    ("index", "read"),
    [
        ("entry_response", lambda ledger: ledger.find_response("r")),
        ("entry_time", lambda ledger: list(ledger.entries(since=1.0))),
        ("entry_execution", lambda ledger: list(ledger.entries(execution="e"))),
        ("entry_trace", lambda ledger: list(ledger.entries(trace_id="t"))),
        ("entry_time", lambda ledger: ledger.totals(["model"], since=1.0)),
        ("execution_started", lambda ledger: list(ledger.executions())),
        ("entry_execution", lambda ledger: ledger.end_step("e", "s", 1, ok=True)),
        ("sqlite_autoindex_entry_1", lambda ledger: [ledger.settle(ledger.entry, []), ledger.settle(ledger.entry, [])]),
    ],
)
def test_nothing_looks_at_the_whole_table(sqlite_ledger, make_entry, index, read):
    sqlite_ledger.entry = make_entry(execution="e", step="s", attempt=1)
    statements = []
    for part in (sqlite_ledger._reader, sqlite_ledger._writer):
        part.read(lambda db: db.set_trace_callback(statements.append))
    read(sqlite_ledger)
    explained = [
        "EXPLAIN QUERY PLAN " + statement.replace("Inf", "9e999")
        for statement in statements
        if " entry" in statement or " execution" in statement
    ]
    plans = [row[3] for sql in explained for row in sqlite_ledger._reader.read(lambda db, sql=sql: db.execute(sql).fetchall())]
    assert any(f"USING INDEX {index} (" in plan for plan in plans), plans
    assert not [plan for plan in plans if plan.startswith("SCAN")]


counts = st.none() | st.integers(0, 2**54)
tools = st.none() | st.dictionaries(st.text(max_size=5), st.integers(0, 9))
usages = st.builds(Usage, *[counts] * 12, tools, st.sampled_from(State), st.booleans())


@given(usages, counts, st.sampled_from(CostStatus), st.sampled_from(Activity))
def test_any_entry_comes_back_from_its_row_with_absurd_numbers_cut(usage, nano_usd, status, activity):
    entry = Entry("id", 1.0, activity, "p", "chat", usage=usage, cost=Cost(nano_usd, status))
    row = rows.from_entry(entry)
    assert {type(value) for value in row} <= {str, int, float, type(None)}, "SQLite binds these without asking Python"
    most = 2**53 - 1
    for name in ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning"):
        value = getattr(usage, name)
        setattr(usage, name, value if value is None else min(value, most))
    entry.cost.nano_usd = nano_usd if nano_usd is None else min(nano_usd, most)
    assert rows.to_entry(row) == entry


def test_values_of_other_kinds_are_stored_as_text(tmp_path, make_entry, make_charge):
    ledger, id_ = SqliteLedger(tmp_path / "ledger.db"), uuid.uuid4()
    entry = make_entry(execution=id_, step=7)
    assert ledger.reserve(entry, [make_charge(5)], 2e9) is None
    ledger.settle(entry, [make_charge(5)])
    ledger.end_step(id_, 7, 1, ok=True)
    ledger.end_execution(Execution(id_, "flow", 1.0, 2.0, "completed"))
    assert [(one.execution, one.step) for one in ledger.entries()] == [(str(id_), "7")]
    assert [one.id for one in ledger.executions()] == [str(id_)]
    ledger.close()


@pytest.mark.parametrize(
    ("error", "statement"),
    [
        (sqlite3.IntegrityError, "INSERT INTO audit (sequence, time, key, text, previous, hash) VALUES ('first', 0, 'k', '', '', '')"),
        (sqlite3.DataError, "INSERT INTO account (id) VALUES (zeroblob(3000000000))"),
    ],
    ids=["of another kind", "too long"],
)
def test_a_value_that_cannot_be_stored_is_no_ledger_that_cannot_be_used(sqlite_ledger, make_entry, error, statement):
    with pytest.raises(error):
        sqlite_ledger._writer.write(lambda db: db.execute(statement))
    sqlite_ledger.settle(make_entry(), [])
    assert sqlite_ledger.totals()[0].calls == 1


def test_more_given_back_than_was_reserved_leaves_nothing_reserved(sqlite_ledger, other, make_entry, make_charge, balance):
    """Somebody set the account back by hand while a call was under way."""
    sqlite_ledger.reserve(make_entry(), [make_charge(60)], LATER)
    other.execute("UPDATE account SET reserved = 10")
    sqlite_ledger.release("a")
    assert balance(sqlite_ledger) == (0, 0)


def test_a_step_may_be_tried_more_often_than_a_statement_has_values(sqlite_ledger, make_entry):
    sqlite_ledger._writer.read(lambda db: db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 80))
    for attempt in range(1, 101):
        sqlite_ledger.settle(make_entry(f"s{attempt}", execution="e", step="s", attempt=attempt), [])
        sqlite_ledger.end_step("e", "s", attempt, ok=attempt != 100)
    assert [entry.id for entry in sqlite_ledger.entries() if not entry.superseded] == ["s99"]
