"""What only the ledger in memory does: forget, and start anew in a child."""

from __future__ import annotations

import os

import pytest

from spanledger.errors import LedgerBusy
from spanledger.ledger import history
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.rules import idle_after

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


def test_accounts_of_runs_that_ended_do_not_pile_up(make_entry, make_hold, now):
    ledger = MemoryLedger(most_entries=3)
    for number in range(10):
        ledger.settle(make_entry(str(number)), [make_hold(1, account=str(number), ends=idle_after(now - number))])
    ledger.settle(make_entry("kept"), [make_hold(1, account="DAY", ends=now + 9), make_hold(1, account="EVER", ends=None)])
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


def test_budgets_do_not_forget(make_entry, make_hold, balance):
    ledger = MemoryLedger(most_entries=2)
    for number in range(50):
        ledger.settle(make_entry(str(number)), [make_hold(1)])
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
def test_who_does_not_want_to_wait_does_not(make_entry, make_hold, balance, call):
    ledger = MemoryLedger()
    ledger.settle(make_entry("first"), [make_hold(1)])
    arguments = (make_entry(), [make_hold(5)]) + ((LATER,) if call == "reserve" else ())
    ledger.before_fork()  # the ledger at rest: nobody may change it
    with pytest.raises(LedgerBusy, match="another thread"):
        getattr(ledger, call)(*arguments, wait=False)
    ledger.after_fork_in_parent()
    assert balance(ledger) == (1, 0)
    assert getattr(ledger, call)(*arguments, wait=False) != []


def test_a_forked_child_keeps_what_was_spent_and_leaves_the_rest(make_entry, make_hold, balance):
    ledger = MemoryLedger()
    ledger.settle(make_entry("done"), [make_hold(40)])
    ledger.reserve(make_entry("under way"), [make_hold(50)], LATER)
    child = os.fork()
    if child == 0:
        ok = balance(ledger) == (40, 0) and ledger.open_leases() == 0 and ledger.totals()[0].calls == 0
        os._exit(0 if ok and ledger.reserve(make_entry("new"), [make_hold(61)], LATER) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert balance(ledger) == (40, 50)
