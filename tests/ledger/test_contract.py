"""What every ledger promises, whatever it is kept in."""

from __future__ import annotations

import threading

import pytest

from spanledger.ledger.rules import IDLE_ACCOUNTS_KEPT, IDLE_ACCOUNTS_SHOWN, idle_after
from spanledger.model import Activity, Cost, CostStatus, Refusal, State, Unsettled, Usage

LATER = 2_000_000_000.0


class TestReserve:
    def test_a_hold_within_the_limit_is_reserved(self, ledger, make_entry, make_charge, balance):
        assert ledger.reserve(make_entry(), [make_charge(60)], LATER) is None
        assert balance(ledger) == (0, 60)
        assert ledger.open_leases() == 1

    def test_up_to_the_limit_and_not_a_token_further(self, ledger, make_entry, make_charge, balance):
        assert ledger.reserve(make_entry("a"), [make_charge(60)], LATER) is None
        assert ledger.reserve(make_entry("b"), [make_charge(40)], LATER) is None
        refusal = ledger.reserve(make_entry("c"), [make_charge(1)], LATER)
        assert refusal == Refusal(*make_charge(1), 0, 100)
        assert balance(ledger) == (0, 100)

    def test_spent_counts_like_reserved(self, ledger, make_entry, make_charge):
        ledger.settle(make_entry("a"), [make_charge(70)])
        ledger.reserve(make_entry("b"), [make_charge(20)], LATER)
        refusal = ledger.reserve(make_entry("c"), [make_charge(11)], LATER)
        assert refusal is not None
        assert (refusal.spent, refusal.reserved) == (70, 20)

    def test_all_charges_or_none(self, ledger, make_entry, make_charge, balance):
        charges = [make_charge(50, account="A"), make_charge(50, account="B", limit=40), make_charge(50, account="C")]
        refusal = ledger.reserve(make_entry(), charges, LATER)
        assert refusal is not None
        assert (refusal.hold, refusal.asked) == charges[1]
        assert balance(ledger, "A") == (0, 0)
        assert balance(ledger, "B") == (0, 0)
        assert ledger.open_leases() == 0

    def test_two_charges_of_one_account_add_up(self, ledger, make_entry, make_charge, balance):
        assert ledger.reserve(make_entry("a"), [make_charge(60), make_charge(41)], LATER) is not None
        assert balance(ledger) == (0, 0)
        assert ledger.reserve(make_entry("b"), [make_charge(60), make_charge(40)], LATER) is None
        assert balance(ledger) == (0, 100)

    def test_an_empty_hold_is_refused_only_when_nothing_is_left(self, ledger, make_entry, make_charge):
        ledger.settle(make_entry("a"), [make_charge(99)])
        assert ledger.reserve(make_entry("b"), [make_charge(0)], LATER) is None
        ledger.settle(make_entry("c"), [make_charge(1)])
        assert ledger.reserve(make_entry("d"), [make_charge(0)], LATER) is not None

    def test_a_hold_that_does_not_block_is_never_refused(self, ledger, make_entry, make_charge, balance):
        assert ledger.reserve(make_entry(), [make_charge(500, blocking=False)], LATER) is None
        assert balance(ledger) == (0, 500)

    def test_a_second_reservation_of_the_same_entry_changes_nothing(self, ledger, make_entry, make_charge, balance):
        for _ in range(2):
            assert ledger.reserve(make_entry(), [make_charge(60)], LATER) is None
        assert balance(ledger) == (0, 60)

    def test_a_call_without_charges_leaves_a_lease(self, ledger, make_entry):
        assert ledger.reserve(make_entry(), [], LATER) is None
        assert ledger.open_leases() == 1

    def test_the_newest_hold_sets_limit_and_window(self, ledger, make_entry, make_charge, now):
        ledger.reserve(make_entry("a"), [make_charge(60)], LATER)
        ledger.reserve(make_entry("b"), [make_charge(60, limit=200, ends=now + 9)], LATER)
        assert [(one.limit, one.ends, one.reserved) for one in ledger.balances(now)] == [(200, now + 9, 120)]

    def test_a_lowered_limit_shows_even_when_it_refuses(self, ledger, make_entry, make_charge, now):
        ledger.settle(make_entry("a"), [make_charge(60)])
        assert ledger.reserve(make_entry("b"), [make_charge(1, limit=50)], LATER) is not None
        assert [(one.limit, one.spent) for one in ledger.balances(now)] == [(50, 60)]

    def test_huge_amounts_are_refused_and_harm_nothing(self, ledger, make_entry, make_charge, balance):
        assert ledger.reserve(make_entry("a"), [make_charge(2**70)], LATER) is not None
        assert ledger.reserve(make_entry("b"), [make_charge(1, limit=2**80)], LATER) is None
        assert balance(ledger) == (0, 1)


class TestUnsettled:
    def test_calls_of_ended_processes_and_their_estimates(self, ledger, make_entry, make_charge, now):
        assert ledger.unsettled(now) == Unsettled()
        for name, nano, expires in [("a", 7, now - 1), ("b", None, now - 1), ("c", 9, now - 1), ("d", 100, now + 1)]:
            ledger.reserve(make_entry(name, cost=Cost(nano, CostStatus.ESTIMATED)), [make_charge(1)], expires)
        assert ledger.unsettled(now) == Unsettled(3, 16)
        ledger.sweep(now)
        assert ledger.unsettled(now) == Unsettled()
        assert ledger.open_leases() == 1


class TestSettle:
    def test_frees_the_reservation_and_charges_what_was_used(self, ledger, make_entry, make_charge, balance):
        ledger.reserve(make_entry(), [make_charge(60)], LATER)
        assert ledger.settle(make_entry(tokens=25), [make_charge(25)]) == [(make_charge(25)[0], 25, 0)]
        assert balance(ledger) == (25, 0)
        assert ledger.open_leases() == 0
        assert [entry.usage.input for entry in ledger.entries()] == [25]

    def test_charges_other_accounts_than_were_held(self, ledger, make_entry, make_charge, balance):
        ledger.reserve(make_entry(), [make_charge(60, account="A")], LATER)
        ledger.settle(make_entry(), [make_charge(5, account="B")])
        assert balance(ledger, "A") == (0, 0)
        assert balance(ledger, "B") == (5, 0)

    def test_may_exceed_the_limit_because_it_has_happened(self, ledger, make_entry, make_charge, balance):
        ledger.reserve(make_entry(), [make_charge(60)], LATER)
        ledger.settle(make_entry(), [make_charge(130)])
        assert balance(ledger) == (130, 0)

    def test_without_reservation_just_adds(self, ledger, make_entry, make_charge, balance):
        ledger.settle(make_entry("foreign"), [make_charge(30)])
        assert balance(ledger) == (30, 0)

    def test_twice_changes_nothing(self, ledger, make_entry, make_charge, balance):
        ledger.settle(make_entry(tokens=25), [make_charge(25)])
        assert ledger.settle(make_entry(tokens=99), [make_charge(99)]) == []
        assert balance(ledger) == (25, 0)
        assert [entry.usage.input for entry in ledger.entries()] == [25]

    def test_twice_creates_no_accounts(self, ledger, make_entry, make_charge, now):
        ledger.settle(make_entry(), [make_charge(25)])
        assert ledger.settle(make_entry(), [make_charge(25, account="OTHER")]) == []
        assert [one.account for one in ledger.balances(now)] == ["TEAM"]

    @pytest.mark.parametrize("guess", ["estimated", "unknown"])
    def test_exact_replaces_a_guess_and_corrects_the_accounts(self, ledger, make_entry, make_charge, balance, guess):
        ledger.settle(make_entry(tokens=50, state=guess), [make_charge(50), make_charge(7, account="B")])
        ledger.settle(make_entry(tokens=20), [make_charge(20)])
        assert balance(ledger) == (20, 0)
        assert balance(ledger, "B") == (0, 0)
        assert [(entry.usage.input, entry.usage.state) for entry in ledger.entries()] == [(20, State.EXACT)]
        assert ledger.totals()[0].calls == 1

    @pytest.mark.parametrize(
        ("there", "new"), [("exact", "estimated"), ("exact", "unknown"), ("estimated", "unknown"), ("unknown", "estimated")]
    )
    def test_nothing_but_exact_replaces(self, ledger, make_entry, make_charge, balance, there, new):
        ledger.settle(make_entry(tokens=50, state=there), [make_charge(50)])
        ledger.settle(make_entry(tokens=20, state=new), [make_charge(20)])
        assert balance(ledger) == (50, 0)
        assert [entry.usage.state for entry in ledger.entries()] == [there]

    def test_a_replaced_entry_is_final(self, ledger, make_entry, make_charge, balance):
        ledger.settle(make_entry(tokens=50, state="estimated"), [make_charge(50)])
        ledger.settle(make_entry(tokens=20), [make_charge(20)])
        ledger.settle(make_entry(tokens=30), [make_charge(30)])
        assert balance(ledger) == (20, 0)

    def test_every_field_comes_back(self, ledger, make_entry, now):
        usage = Usage(90, 50, 30, 20, 10, 5, 4, 3, 2, 1, 7, 6, {"web_search": 2}, State.ESTIMATED, clamped=True)
        keys = {"customer": "acme", "user": "ü", "agent": "x", "campaign": "y", "session": "z", "tenant": "t", 'odd "key"': "a\nb"}
        entry = make_entry(
            "id", response_model="gpt-5-2026", response_id="r1", plugin="mail", trace_id="0" * 32, span_id="1" * 16, service="svc",
            workflow="w", execution="e", step="s", attempt=2, keys=keys, usage=usage, activity=Activity.PLUGIN, duration=1.25,
            time_to_first_chunk=0.5, finish_reason="stop", error="Timeout", superseded=True,
            cost=Cost(5, CostStatus.PARTIAL, "file", "abc", "openai/gpt-5", "2026-02-03"),
        )  # fmt: skip
        ledger.settle(entry, [])
        assert list(ledger.entries()) == [entry]
        assert list(ledger.entries(since=now, until=now + 1, execution="e", trace_id="0" * 32)) == [entry]

    def test_unknown_stays_unknown(self, ledger, make_entry):
        entry = make_entry(nano=None, usage=Usage(state=State.UNKNOWN))
        ledger.settle(entry, [])
        assert list(ledger.entries()) == [entry]
        assert [(one.nano_usd, one.unpriced, one.unknown) for one in ledger.totals()] == [(0, 1, 1)]

    def test_text_that_is_no_text_does_not_stop_the_books(self, ledger, make_entry, make_charge):
        draft = make_entry("\ud800", keys={"customer": "\udfff", "other": "\ud800"}, model="\ud800")
        hold = make_charge(60, account="TEAM|\udfff")
        assert ledger.reserve(draft, [hold], LATER) is None
        assert [spent for _, spent, _ in ledger.settle(draft, [hold])] == [60]
        assert ledger.open_leases() == 0
        assert [one.calls for one in ledger.totals(["customer", "other", "model"])] == [1]


class TestReleaseRenewSweep:
    def test_release_gives_back_and_writes_nothing(self, ledger, make_entry, make_charge, balance):
        ledger.reserve(make_entry(), [make_charge(60)], LATER)
        ledger.release("a")
        ledger.release("a")
        ledger.release("never seen")
        assert balance(ledger) == (0, 0)
        assert list(ledger.entries()) == []
        assert ledger.open_leases() == 0

    def test_sweep_settles_what_expired_by_its_estimate(self, ledger, make_entry, make_charge, balance, now):
        ledger.reserve(make_entry("old", tokens=60), [make_charge(60)], now - 1)
        ledger.reserve(make_entry("young"), [make_charge(10)], now + 1)
        (entry,) = ledger.sweep(now)
        assert (entry.id, entry.usage.input, entry.usage.state) == ("old", 60, State.UNKNOWN)
        assert balance(ledger) == (60, 10)
        assert [entry.id for entry in ledger.entries()] == ["old"]
        assert ledger.sweep(now) == []

    def test_sweep_of_many(self, ledger, make_entry, make_charge, balance, now):
        for number in range(450):
            ledger.reserve(make_entry(str(number)), [make_charge(1, limit=1000)], now - 1)
        assert len({entry.id for entry in ledger.sweep(now)}) == 450
        assert balance(ledger) == (450, 0)

    def test_a_lease_lives_until_its_very_end(self, ledger, make_entry, now):
        ledger.reserve(make_entry(), [], now)
        assert ledger.sweep(now) == []
        assert len(ledger.sweep(now + 0.001)) == 1

    @pytest.mark.parametrize("state", ["exact", "estimated", "unknown"])
    def test_a_late_settlement_replaces_what_the_sweep_guessed(self, ledger, make_entry, make_charge, balance, now, state):
        ledger.reserve(make_entry(tokens=60), [make_charge(60), make_charge(5, account="B")], now - 1)
        ledger.sweep(now)
        ledger.settle(make_entry(tokens=20, state=state, error="Timeout"), [make_charge(20)])
        assert balance(ledger) == (20, 0)
        assert balance(ledger, "B") == (0, 0)
        assert [(entry.usage.input, entry.usage.state, entry.error) for entry in ledger.entries()] == [(20, state, "Timeout")]
        ledger.settle(make_entry(tokens=99, state="estimated"), [make_charge(99)])
        assert balance(ledger) == (20, 0)

    def test_a_lease_of_a_settled_entry_is_only_freed(self, ledger, make_entry, make_charge, balance, now):
        ledger.settle(make_entry(tokens=20), [make_charge(20)])
        ledger.reserve(make_entry(tokens=60), [make_charge(60)], now - 1)
        assert ledger.sweep(now) == []
        assert balance(ledger) == (20, 0)
        assert [entry.usage.input for entry in ledger.entries()] == [20]

    def test_renewed_leases_are_not_swept(self, ledger, make_entry, now):
        for id_ in "abc":
            ledger.reserve(make_entry(id_), [], now - 1)
        ledger.renew(iter(["a", "b", "never seen"]), now + 10)
        ledger.renew(["b"], now - 5)
        ledger.renew([], now)
        assert [entry.id for entry in ledger.sweep(now)] == ["c"]

    def test_sweep_forgets_accounts_long_closed(self, ledger, make_entry, make_charge, now):
        ledger.settle(make_entry("a"), [make_charge(10, account="OLD", ends=now - 90_000), make_charge(10, account="NEW", ends=now - 10)])
        ledger.settle(make_entry("b"), [make_charge(10, account="EVER", ends=None)])
        ledger.sweep(now)
        assert [one.account for one in ledger.balances(0)] == ["EVER", "NEW"]

    def test_accounts_without_a_window_end_some_time_after_their_last_use(self, ledger, make_entry, make_charge, balance, now):
        first, last = make_charge(10, account="RUN", ends=idle_after(now - 90_000)), make_charge(5, account="RUN", ends=idle_after(now))
        ledger.settle(make_entry("a"), [first, make_charge(10, account="OLD", ends=idle_after(now - 90_000))])
        ledger.sweep(now)
        ledger.settle(make_entry("b"), [last])
        assert balance(ledger, "RUN") == (15, 0)
        ledger.sweep(now + IDLE_ACCOUNTS_KEPT - 1)
        assert [one.account for one in ledger.balances(0)] == ["RUN"]
        ledger.sweep(now + IDLE_ACCOUNTS_KEPT + 1)
        assert ledger.balances(0) == []

    def test_an_account_without_a_window_stays_while_a_call_is_under_way(self, ledger, make_entry, make_charge, balance, now):
        ledger.reserve(make_entry(), [make_charge(10, account="RUN", ends=idle_after(now))], LATER + 1)
        ledger.sweep(LATER)
        assert [(one.account, one.reserved) for one in ledger.balances(0)] == [("RUN", 10)]

    def test_balances_tell_no_end_of_accounts_without_a_window_and_only_those_used_lately(self, ledger, make_entry, make_charge, now):
        used = {"A": now, "B": now - IDLE_ACCOUNTS_SHOWN + 1, "C": now - IDLE_ACCOUNTS_SHOWN}
        ledger.settle(make_entry(), [make_charge(1, account=name, ends=idle_after(when)) for name, when in used.items()])
        assert [(one.account, one.ends) for one in ledger.balances(now)] == [("A", None), ("B", None)]

    def test_balances_leave_out_windows_that_ended(self, ledger, make_entry, make_charge, now):
        ledger.settle(make_entry(), [make_charge(1, account=name, ends=ends) for name, ends in [("A", now), ("B", now + 1), ("C", None)]])
        assert [one.account for one in ledger.balances(now)] == ["B", "C"]


class TestSteps:
    @pytest.fixture
    def settle(self, ledger, make_entry):
        def settle(attempt, step="s"):
            ledger.settle(make_entry(f"{step}{attempt}", execution="e", step=step, attempt=attempt), [])

        return settle

    @pytest.fixture
    def superseded(self, ledger):
        return lambda: {entry.id for entry in ledger.entries() if entry.superseded}

    def test_a_retry_replaces_the_failed_attempt(self, ledger, settle, superseded):
        settle(1)
        ledger.end_step("e", "s", 1, ok=False)
        assert superseded() == set()
        settle(2)
        ledger.end_step("e", "s", 2, ok=True)
        assert superseded() == {"s1"}

    def test_the_last_success_wins_over_later_failures(self, ledger, settle, superseded):
        for attempt, ok in [(1, False), (2, True), (3, False)]:
            settle(attempt)
            ledger.end_step("e", "s", attempt, ok=ok)
        assert superseded() == {"s1", "s3"}

    def test_without_success_the_last_attempt_counts(self, ledger, settle, superseded):
        for attempt in (1, 2, 3):
            settle(attempt)
            ledger.end_step("e", "s", attempt, ok=False)
        assert superseded() == {"s1", "s2"}

    def test_the_last_end_of_an_attempt_holds(self, ledger, settle, superseded):
        for attempt, ok in [(1, True), (2, True), (3, True), (3, False)]:
            settle(attempt)
            ledger.end_step("e", "s", attempt, ok=ok)
        assert superseded() == {"s1", "s3"}

    def test_entries_settled_late_are_superseded_too(self, ledger, settle, superseded):
        ledger.end_step("e", "s", 1, ok=False)
        ledger.end_step("e", "s", 2, ok=True)
        settle(1)
        settle(2)
        assert superseded() == {"s1"}

    def test_swept_entries_are_superseded_too(self, ledger, make_entry, superseded, now):
        ledger.reserve(make_entry("s1", execution="e", step="s", attempt=1), [], now - 1)
        ledger.end_step("e", "s", 1, ok=False)
        ledger.end_step("e", "s", 2, ok=True)
        assert [entry.superseded for entry in ledger.sweep(now)] == [True]
        assert superseded() == {"s1"}

    def test_a_replaced_entry_stays_superseded(self, ledger, make_entry, superseded):
        entry = make_entry("s1", execution="e", step="s", attempt=1, state="estimated")
        ledger.settle(entry, [])
        ledger.end_step("e", "s", 1, ok=False)
        ledger.end_step("e", "s", 2, ok=True)
        ledger.settle(make_entry("s1", execution="e", step="s", attempt=1), [])
        assert superseded() == {"s1"}

    def test_an_attempt_still_running_is_not_judged(self, ledger, settle, superseded):
        settle(1)
        settle(2)
        ledger.end_step("e", "s", 1, ok=True)
        assert superseded() == set()

    def test_other_steps_and_executions_are_left_alone(self, ledger, settle, make_entry, superseded):
        settle(1, step="other")
        ledger.settle(make_entry("x", execution="e2", step="s", attempt=1), [])
        ledger.settle(make_entry("y", execution="e", step="s"), [])
        ledger.end_step("e", "s", 1, ok=False)
        ledger.end_step("e", "s", 2, ok=True)
        assert superseded() == set()

    def test_superseded_is_consumed_but_not_billable(self, ledger, settle):
        for attempt in (1, 2):
            settle(attempt)
            ledger.end_step("e", "s", attempt, ok=attempt == 2)
        (total,) = ledger.totals()
        assert (total.calls, total.input_tokens, total.nano_usd) == (2, 20, 200)
        assert (total.billable_calls, total.billable_tokens, total.billable_nano_usd) == (1, 10, 100)


class TestConcurrency:
    def test_64_threads_never_overrun_a_budget(self, ledger, make_entry, make_charge, balance):
        barrier, accepted, refused = threading.Barrier(64), [], []

        def work(thread: int) -> None:
            barrier.wait()
            for number in range(5):
                entry = make_entry(f"{thread}-{number}", tokens=6)
                if ledger.reserve(entry, [make_charge(10, limit=1000)], LATER):
                    refused.append(entry.id)
                else:
                    accepted.append(entry.id)
                    ledger.settle(entry, [make_charge(6, limit=1000)])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(accepted) + len(refused) == 320
        assert balance(ledger) == (6 * len(accepted), 0)
        assert 6 * len(accepted) <= 1000
        assert len(accepted) >= 99, "nobody is refused before 991 are used, and no call uses more than 10"

    def test_a_closed_ledger_opens_again(self, ledger, make_entry, make_charge, balance):
        ledger.settle(make_entry("a"), [make_charge(1)])
        ledger.close()
        ledger.close()
        ledger.settle(make_entry("b"), [make_charge(1)])
        assert balance(ledger) == (2, 0)


class TestCorrections:
    def test_a_correction_does_not_make_what_is_spent_negative(self, ledger, make_entry, make_charge, balance, now):
        ledger.settle(make_entry("a", state="estimated"), [make_charge(50, ends=now - 90_000)])
        ledger.sweep(now)  # the account is forgotten, and with it what the first call was charged
        ledger.settle(make_entry("b"), [make_charge(7)])
        ledger.settle(make_entry("a"), [])
        assert balance(ledger) == (0, 0)

    def test_a_response_that_was_corrected_away_is_not_found(self, ledger, make_entry):
        ledger.settle(make_entry(state="estimated", response_id="guessed"), [])
        ledger.settle(make_entry(response_id="told"), [])
        assert ledger.find_response("guessed") is None
        assert ledger.find_response("told").usage.state is State.EXACT


@pytest.mark.parametrize(("usage", "nothing_known"), [((None, None), 1), ((None, 5), 0), ((5, None), 0), ((5, 5), 0)])
def test_of_calls_without_a_price_those_are_told_apart_of_which_nothing_is_known(ledger, make_entry, usage, nothing_known):
    ledger.settle(make_entry(nano=None, usage=Usage(*usage, state=State.UNKNOWN)), [])
    assert [(one.unpriced, one.unpriced_unknown) for one in ledger.totals()] == [(1, nothing_known)]
