"""Several processes on one file: contending, forking, ending and being killed."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import State

TOOLS = Path(__file__).parents[1] / "tools"
PRELUDE = """
import os, sys, threading
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Entry, Hold, State, Unit, Usage
ledger = SqliteLedger(sys.argv[1])

def entry(id_, state=State.EXACT):
    return Entry(id_, 1.0, Activity.LLM, "openai", "chat", usage=Usage(6, 0, state=state))

def charge(amount, limit=10**9):
    return Hold("TEAM", "TEAM", "", Unit.TOKENS, limit), amount
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def books(path):
    """Reads the file afterwards; it must be sound."""
    ledger = SqliteLedger(path)
    yield ledger
    ledger.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


CONTEND = """
ledger.release("nothing")  # opens the file
print("ready", flush=True)
sys.stdin.readline()
accepted = refused = 0
for number in range(int(sys.argv[3])):
    one = entry(f"{sys.argv[2]}-{number}")
    if ledger.reserve(one, [charge(10, 3000)], 2e9):
        refused += 1
    else:
        accepted += 1
        ledger.settle(one, [charge(6, 3000)])
print(accepted, refused)
"""


def test_four_processes_never_overrun_a_budget(path, books, start, finished):
    books.check()
    children = [start(PRELUDE + CONTEND, path, number, 200, stdin=-1) for number in range(4)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    samples = []
    while any(child.poll() is None for child in children):
        samples += [one.spent + one.reserved for one in books.balances(0)]
    counts = [tuple(map(int, finished(child).split())) for child in children]
    accepted, refused = (sum(column) for column in zip(*counts, strict=True))
    assert max(samples) <= 3000
    assert accepted + refused == 800
    assert [(one.spent, one.reserved) for one in books.balances(0)] == [(6 * accepted, 0)]
    assert refused > 0
    assert 6 * accepted > 3000 - 4 * 10, "nobody is refused while there is room for him and the other three"
    assert books.totals()[0].calls == accepted


SWEEP = """
ledger.release("nothing")  # opens the file
print("ready", flush=True)
sys.stdin.readline()
print(*[one.id for one in ledger.sweep(100.0)])
"""


def test_every_expired_lease_is_swept_by_exactly_one_process(path, books, start, finished, make_entry, make_charge, balance):
    for number in range(600):
        books.reserve(make_entry(str(number)), [make_charge(1, limit=10_000)], 1.0)
    children = [start(PRELUDE + SWEEP, path, stdin=-1) for _ in range(3)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    swept = [id_ for child in children for id_ in finished(child).split()]
    assert sorted(swept) == sorted(str(number) for number in range(600))
    assert balance(books) == (600, 0)


CALLS = """
import itertools
for number in itertools.count():
    one = entry(f"{os.getpid()}-{number}")
    ledger.reserve(one, [charge(9)], 1000.0)
    os.write(1, one.id.encode() + b"\\n")
    ledger.settle(one, [charge(6)])
"""


def killed_at_random(start, path, luck: random.Random) -> list[str]:
    """Starts a process that makes calls, kills it somewhere in them; the calls it began."""
    child = start(PRELUDE + CALLS, path)
    begun = [child.stdout.readline() for _ in range(luck.randint(1, 20))]
    time.sleep(luck.uniform(0, 0.003))  # not to wait for anything: to hit any moment within a call
    child.send_signal(signal.SIGKILL)
    begun.append(child.stdout.read())  # not communicate(), which would pass over what readline() has buffered
    assert (child.wait(), child.stderr.read()) == (-signal.SIGKILL, "")
    return "".join(begun).split()


@pytest.mark.parametrize("kills", [15, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_process_s_calls_are_in_the_books_exactly_once(path, books, start, kills):
    luck = random.Random(kills)
    begun = [id_ for _ in range(kills) for id_ in killed_at_random(start, path, luck)]
    left = books.open_leases()
    swept = books.sweep(2000.0)
    entries = list(books.entries())
    ids = [entry.id for entry in entries]
    assert len(set(ids)) == len(ids)
    assert set(begun) <= set(ids)
    assert len(ids) - len(begun) <= kills, "a call may be reserved and its process killed before it can say so"
    assert len(swept) == left <= kills
    guessed = sum(entry.usage.state == State.UNKNOWN for entry in entries)
    assert guessed == len(swept)
    (balance,) = books.balances(0)
    assert (balance.spent, balance.reserved) == (9 * guessed + 6 * (len(ids) - guessed), 0)
    print(json.dumps({"kills": kills, "calls": len(ids), "swept": len(swept)}))


FORK = """
import warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of forks among threads; this is one
stop = threading.Event()
made = []
def work(name):
    for number in range(10**9):
        if stop.is_set():
            return made.append(number)
        ledger.settle(entry(f"{name}-{number}"), [charge(6)])
threads = [threading.Thread(target=work, args=(f"thread{number}",)) for number in range(3)]
for thread in threads:
    thread.start()
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        assert ledger._writer._connection is None, "using the parent's connection goes wrong only now and then"
        for call in range(20):
            ledger.settle(entry(f"child{number}-{call}"), [charge(6)])
        if number % 2:
            os._exit(0)
        sys.exit(0)
    children.append(child)
codes = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
stop.set()
for thread in threads:
    thread.join()
ledger.settle(entry("last"), [charge(6)])
print(codes, sum(made) + 1)
"""


def test_forks_in_the_middle_of_use(path, books, start, finished):
    codes, made = finished(start(PRELUDE + FORK, path)).rsplit(" ", 1)
    assert codes == "{0}"
    assert books.totals()[0].calls == int(made) + 8 * 20
    assert [one.spent for one in books.balances(0)] == [6 * (int(made) + 8 * 20)]


FORK_BELOW_PYTHON = """
import ctypes
ledger.settle(entry("before"), [charge(6)])
child = ctypes.PyDLL(None).fork()
if child == 0:
    ledger.settle(entry("child"), [charge(6)])
    os._exit(0 if ledger.totals()[0].calls >= 2 and ledger._writer._pid == ledger._reader._pid == os.getpid() else 1)
ledger.settle(entry("parent"), [charge(6)])
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ledger.settle(entry("after"), [charge(6)])
"""


def test_a_fork_that_python_does_not_know_of(path, books, start, finished):
    assert finished(start(PRELUDE + FORK_BELOW_PYTHON, path)) == "0\n"
    assert sorted(entry.id for entry in books.entries()) == ["after", "before", "child", "parent"]


USED_BEFORE_OUR_TURN = """
import os
os.register_at_fork(after_in_child=lambda: ledger.settle(entry("child"), [charge(6)]))
"""
FORK_AND_GO_ON = """
if pid := os.fork():
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
else:
    ledger.settle(entry("child again"), [charge(6)])
"""


def test_a_ledger_that_is_used_in_the_child_before_it_was_told_of_the_fork(path, books, start, finished):
    """As by gevent's greenlets, which live on in the child and run as soon as somebody waits there."""
    assert finished(start(USED_BEFORE_OUR_TURN + PRELUDE + FORK_AND_GO_ON, path)) == "0\n"
    assert sorted(entry.id for entry in books.entries()) == ["child", "child again"]


FORK_IN_A_WRITE = """
import ctypes
def work(db):
    db.execute("UPDATE account SET spent = spent + 1")
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        parents = ledger._writer._connection
        ledger._writer.after_fork_in_child(rested=False)
        os._exit(0 if parents.in_transaction and ledger._writer._connection is None else 1)  # left alone: closed, it could not be asked
    assert os.waitpid(child, 0)[1] == 0
ledger.settle(entry("before"), [charge(6)])
ledger._writer.write(work)
"""


def test_a_fork_in_the_middle_of_a_write_does_not_harm_the_parent(path, books, start, finished):
    finished(start(PRELUDE + FORK_IN_A_WRITE, path))
    assert [one.spent for one in books.balances(0)] == [7]


SQLITE_IS_LOCKED = f"""
import sys
sys.path.insert(0, {str(TOOLS)!r})
import locked_sqlite
if not locked_sqlite.at_forks():
    print("not here")
    raise SystemExit
"""
FORK_WHILE_LOCKED = """
from spanledger.errors import LedgerError
from spanledger.ledger import forked
forked.PATIENCE = 0.5
said = []
ledger.settle(entry("before"), [charge(6)])
child = os.fork()
if child == 0:
    for number in range(2):
        forked.PATIENCE *= 2 ** (10 * number)  # the second does not wait
        try:
            ledger.settle(entry("child"), [charge(6)])
        except LedgerError as error:
            said.append(str(error))
    os._exit(0 if len(said) == 2 and "when the process was forked" in said[0] and said[0] == said[1] else 1)
ledger.settle(entry("parent"), [charge(6)])
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_that_finds_sqlite_locked_for_ever_says_so_and_goes_on(path, books, start, finished):
    done = finished(start(SQLITE_IS_LOCKED + PRELUDE + FORK_WHILE_LOCKED, path))
    if done == "not here\n":
        pytest.skip("this Python keeps SQLite's mutexes to itself, so that they cannot be locked from outside")
    assert done == "0\n"
    assert sorted(entry.id for entry in books.entries()) == ["before", "parent"]


END = """
import atexit
def work(name):
    for number in range(10**9):
        ledger.settle(entry(f"{name}-{number}"), [charge(6)])
ledger.release("nothing")  # opens the file
for number in range(3):
    threading.Thread(target=work, args=(f"thread{number}",), daemon=True).start()
atexit.register(lambda: ledger.settle(entry("at exit"), [charge(6)]))
while ledger.totals()[0].calls < 30:
    pass
"""


def test_the_interpreter_may_end_while_threads_write(path, books, start, finished):
    finished(start(PRELUDE + END, path))
    ids = {entry.id for entry in books.entries()}
    assert "at exit" in ids
    assert [one.spent for one in books.balances(0)] == [6 * len(ids)]
