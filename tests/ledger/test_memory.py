"""What only the ledger in memory does: forget, and start anew in a child."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.errors import LedgerBusy
from spanledger.ledger import history
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.rules import idle_after
from spanledger.model import Activity, Entry, Hold, Unit

LATER = 2_000_000_000.0
DAY = 86_400.0


def test_old_entries_are_forgotten_but_stay_in_the_totals(make_entry):
    ledger = MemoryLedger(most_entries=10)
    for number in range(35):
        ledger.settle(make_entry(str(number), model="m" if number % 2 else "n", response_id=f"r{number}"), [])
    assert [entry.id for entry in ledger.entries()] == [str(number) for number in range(25, 35)]
    assert ledger.find_response("r1") is None
    assert ledger.totals()[0].calls == 35
    assert ledger.totals()[0].nano_usd == 3500
    assert {one.group["model"]: one.calls for one in ledger.totals(["model"])} == {"m": 17, "n": 18}


def test_what_waits_to_be_summed_up_is_bounded(make_entry):
    ledger = MemoryLedger(most_entries=10)
    for number in range(1000):
        ledger.settle(make_entry(str(number), response_id=f"r{number}"), [])
        assert len(ledger._history.kept) <= 10 + history._MANY
    assert (ledger.sums()[0].operations, ledger.totals()[0].calls) == (1000, 1000)
    assert [number for number in range(1000) if ledger.find_response(f"r{number}")] == list(range(990, 1000))


def test_accounts_of_runs_that_ended_do_not_pile_up(make_entry, make_charge, now):
    ledger = MemoryLedger(most_entries=3)
    for number in range(10):
        ledger.settle(make_entry(str(number)), [make_charge(1, account=str(number), ends=idle_after(now - number))])
    ledger.settle(make_entry("kept"), [make_charge(1, account="DAY", ends=now + 9), make_charge(1, account="EVER", ends=None)])
    ledger.sweep(now)
    assert [one.account for one in ledger.balances(now)] == ["0", "1", "2", "DAY", "EVER"]


def test_sums_of_forgotten_entries_are_by_day(make_entry, now):
    ledger = MemoryLedger(most_entries=1)
    for number, time in enumerate([now, now + DAY, now + 2 * DAY, now + 3 * DAY]):
        ledger.settle(make_entry(str(number), time=time), [])
    assert [one.group["day"] for one in ledger.totals(["day"])] == ["2025-06-15", "2025-06-16", "2025-06-17", "2025-06-18"]
    tomorrow = now - now % DAY + DAY
    assert ledger.totals(since=tomorrow)[0].calls == 3
    assert ledger.totals(until=tomorrow)[0].calls == 1


def test_what_forgotten_entries_were_is_not_guessed(make_entry):
    ledger = MemoryLedger(most_entries=1)
    for number in range(3):
        ledger.settle(make_entry(str(number), execution="e", keys={"customer": "acme"}), [])
    assert {one.group["customer"]: one.calls for one in ledger.totals(["customer"])} == {"acme": 1, None: 2}
    assert ledger.totals(execution="e")[0].calls == 1


def test_budgets_do_not_forget(make_entry, make_charge, balance):
    ledger = MemoryLedger(most_entries=2)
    for number in range(50):
        ledger.settle(make_entry(str(number)), [make_charge(1)])
    assert balance(ledger) == (50, 0)


def test_many_executions_and_steps_are_bounded(make_entry, now):
    ledger = MemoryLedger(most_entries=3)
    for number in range(10):
        ledger.settle(make_entry(str(number), execution=f"e{number}", step="s", attempt=1), [])
        ledger.end_step(f"e{number}", "s", 1, ok=False)
    ledger.end_step("e0", "s", 2, ok=True)
    ledger.end_step("e9", "s", 2, ok=True)
    assert [entry.id for entry in ledger.entries() if entry.superseded] == ["9"]


@pytest.mark.parametrize("call", ["reserve", "settle"])
def test_who_does_not_want_to_wait_does_not(make_entry, make_charge, balance, call):
    ledger = MemoryLedger()
    ledger.settle(make_entry("first"), [make_charge(1)])
    arguments = (make_entry(), [make_charge(5)]) + ((LATER,) if call == "reserve" else ())
    ledger.before_fork()  # the ledger at rest: nobody may change it
    with pytest.raises(LedgerBusy, match="another thread"):
        getattr(ledger, call)(*arguments, wait=False)
    ledger.after_fork_in_parent()
    assert balance(ledger) == (1, 0)
    assert getattr(ledger, call)(*arguments, wait=False) != []


def test_a_forked_child_keeps_what_was_spent_and_leaves_the_rest(make_entry, make_charge, balance):
    ledger = MemoryLedger()
    ledger.settle(make_entry("done"), [make_charge(40)])
    ledger.reserve(make_entry("under way"), [make_charge(50)], LATER)
    child = os.fork()
    if child == 0:
        ok = balance(ledger) == (40, 0) and ledger.open_leases() == 0 and ledger.totals()[0].calls == 0
        os._exit(0 if ok and ledger.reserve(make_entry("new"), [make_charge(61)], LATER) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert balance(ledger) == (40, 50)


class TimeLimit(Exception):  # noqa: N818  # as those of task queues
    """What a signal handler raises."""


class Interrupted(list):
    """Holds; a signal arrives before the ``at``-th of them is read, once."""

    def __init__(self, charges, at):
        super().__init__(charges)
        self.at = at

    def __iter__(self):
        for number, hold in enumerate(super().__iter__()):
            if number == self.at:
                self.at = None
                signal.raise_signal(signal.SIGUSR1)
            yield hold


@pytest.fixture
def handle():
    """Sets the handler of SIGUSR1 for the test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield partial(signal.signal, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def out_of_time(_number, _frame):
    raise TimeLimit


def test_an_interrupted_reservation_leaves_nothing_reserved(make_entry, make_charge, balance, handle):
    handle(out_of_time)
    ledger, accounts = MemoryLedger(), ("A", "B", "C")
    ledger.reserve(make_entry("under way"), [make_charge(7, account=account) for account in accounts], LATER)
    for at in range(3):
        with pytest.raises(TimeLimit):
            ledger.reserve(make_entry(), Interrupted([make_charge(50, account=account) for account in accounts], at), LATER)
        assert [balance(ledger, account) for account in accounts] == [(0, 7)] * 3
        assert ledger.open_leases() == 1
    assert ledger.reserve(make_entry(), [make_charge(93, account="A")], LATER) is None


@pytest.mark.parametrize("reserved", [True, False])
def test_an_interrupted_settlement_can_be_made_again_and_counts_once(make_entry, make_charge, balance, handle, reserved):
    handle(out_of_time)
    ledger, accounts, entry = MemoryLedger(), ("A", "B", "C"), make_entry()
    charges = [make_charge(10, account=account) for account in accounts]
    if reserved:
        ledger.reserve(entry, charges, LATER)
    for at in range(3):
        with pytest.raises(TimeLimit):
            ledger.settle(entry, Interrupted(charges, at))
        assert ledger.totals()[0].calls == 0
        assert ledger.open_leases() == int(reserved)
        assert not ledger.balances(0) or {balance(ledger, account) for account in accounts[:at]} <= {(0, 10 * reserved)}
    ledger.settle(entry, charges)
    assert [balance(ledger, account) for account in accounts] == [(10, 0)] * 3
    assert (ledger.totals()[0].calls, ledger.open_leases()) == (1, 0)


def test_an_interrupted_settlement_that_reached_the_books_is_not_undone(make_entry, make_charge, balance, handle, monkeypatch):
    handle(out_of_time)
    ledger, entry = MemoryLedger(), make_entry()
    ledger.reserve(entry, [make_charge(10)], LATER)
    put = history.History.put

    def put_and_strike(*args, **kwargs):
        put(*args, **kwargs)
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(history.History, "put", put_and_strike)
    with pytest.raises(TimeLimit):
        ledger.settle(entry, [make_charge(10)])
    assert ledger.settle(entry, [make_charge(10)]) == []
    assert (balance(ledger), ledger.totals()[0].calls, ledger.open_leases()) == ((10, 0), 1, 0)


def test_what_a_signal_handler_interrupted_is_not_waited_for(make_entry, make_charge, balance, handle):
    ledger, answers = MemoryLedger(), []
    second = make_entry("second")
    attempts = [
        lambda: ledger.reserve(second, [make_charge(5)], LATER),
        lambda: ledger.settle(second, [make_charge(5)]),
        lambda: ledger.release("second"),
        lambda: ledger.end_step("run", "fetch", 1, ok=True),
        lambda: ledger.find_response("r"),
    ]

    def handler(_number, _frame):
        for attempt in attempts:
            with pytest.raises(LedgerBusy, match="interrupted"):
                attempt()
            answers.append("busy")

    handle(handler)
    ledger.reserve(make_entry("first"), Interrupted([make_charge(5)], 0), LATER)
    assert answers == ["busy"] * len(attempts)
    for attempt in attempts:
        attempt()
    assert balance(ledger) == (5, 5)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), max_size=8))
def test_whatever_is_interrupted_reserved_is_what_leases_hold(amounts):
    """Each call reserves in three accounts; a signal arrives before the given one of them, or (3) not at all."""
    before = signal.signal(signal.SIGUSR1, out_of_time)
    ledger, reserved = MemoryLedger(), 0
    for number, (amount, at) in enumerate(amounts):
        charges = [(Hold(account, "B", "", Unit.TOKENS, 100), amount) for account in "ABC"]
        entry = Entry(str(number), 1.0, Activity.LLM, "acme", "chat")
        with suppress(TimeLimit):
            reserved += amount if ledger.reserve(entry, Interrupted(charges, at), LATER) is None else 0
        assert {one.reserved for one in ledger.balances(0)} <= {reserved}
    signal.signal(signal.SIGUSR1, before)


class Striking(dict):
    """A signal arrives right behind what is kept in it."""

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        signal.raise_signal(signal.SIGUSR1)


def test_a_reservation_interrupted_at_its_very_end_leaves_no_lease(make_entry, make_charge, balance, handle):
    handle(out_of_time)
    ledger = MemoryLedger()
    ledger._leases = Striking()
    with pytest.raises(TimeLimit):
        ledger.reserve(make_entry(), [make_charge(50)], LATER)
    assert (balance(ledger), ledger.open_leases()) == ((0, 0), 0)


def test_the_books_of_a_forked_child_are_others_than_its_parents():
    ledger = MemoryLedger()
    before = ledger.identity()
    child = os.fork()
    if child == 0:
        os._exit(int(ledger.identity() == before))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ledger.identity() == before
