"""The gate over real ledgers: what is reserved, refused, charged and told."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.errors import BudgetExceeded, ConfigurationError, LedgerBusy, LedgerDamaged
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import Activity, Cost, CostStatus, State, Unit, Usage
from spanledger.pricing.book import PriceBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import Entry

    NewEntry = Callable[..., Entry]
    OpenDesk = Callable[..., Any]

# Model "paid" costs 10 nano-USD a token.


def test_a_call_is_reserved_by_its_bound_and_settled_by_what_it_used(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"DAY": "0.000001 USD per day", "TOK": "1000 tokens per customer per day", "N": "10 calls per hour"})
    draft = entry(customer="acme")
    admission = desk.admit(draft, max_output=60)
    assert (draft.usage, draft.cost.nano_usd, draft.cost.status) == (Usage(0, 60, state=State.ESTIMATED), 600, CostStatus.ESTIMATED)
    assert (desk.balance("DAY"), desk.balance("TOK", "customer=acme"), desk.balance("N")) == ((0, 600), (0, 60), (0, 1))
    desk.finish(draft, admission, used=25)
    assert (desk.balance("DAY"), desk.balance("TOK", "customer=acme"), desk.balance("N")) == ((250, 0), (25, 0), (1, 0))
    assert [written.usage for written in ledger.entries()] == [Usage(0, 25)]
    assert desk.notices == []


def test_a_call_that_goes_on_with_a_response_reserves_what_the_provider_kept(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "200 tokens per day"})
    desk.call(entry(response_id="r1"), used=70)
    draft, unknown = entry(), entry()
    admission = desk.admit(draft, max_output=10, continues="r1")
    assert (draft.usage, desk.balance("TOK")) == (Usage(70, 10, state=State.ESTIMATED), (70, 80))
    with pytest.raises(BudgetExceeded):
        desk.admit(entry(), max_output=10, continues="r1")
    desk.finish(draft, admission, used=80)
    desk.admit(unknown, max_output=10, continues="r0")
    assert unknown.usage == Usage(0, 10, state=State.ESTIMATED)


@pytest.mark.parametrize(("wait", "error", "expected"), [(False, LedgerBusy, None), (True, LedgerBusy, 0), (False, LedgerDamaged, 0)])
def test_what_the_provider_kept_cannot_be_looked_up(
    entry: NewEntry, open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch, wait: bool, error: type[Exception], expected: int | None
) -> None:
    def refuse(_: str, *, wait: bool) -> None:
        raise error(str(wait))

    ledger = MemoryLedger()
    desk = open_desk(ledger, {"TOK": "200 tokens per day"})
    monkeypatch.setattr(ledger, "find_response", refuse)
    draft = entry()
    with pytest.raises(LedgerBusy) if expected is None else nullcontext():
        desk.admit(draft, max_output=10, wait=wait, continues="r1")
    assert (draft.usage.input, desk.balance("TOK")) == (expected, (0, 0) if expected is None else (0, 10))


def test_what_would_exceed_is_refused_and_nothing_stays_reserved(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "1000 tokens per day", "DAY": "0.000001 USD per customer per day"})
    desk.call(entry(customer="acme"), used=70)
    draft = entry(customer="acme", execution="run-1")
    with pytest.raises(BudgetExceeded) as caught:
        desk.admit(draft, max_output=31)
    error = caught.value
    assert (error.budget, error.scope, error.unit) == ("DAY", "customer=acme", Unit.USD)
    assert (error.limit, error.spent, error.reserved, error.asked) == (1000, 700, 0, 310)
    assert str(error) == (
        "budget DAY for customer=acme refused this call: limit 0.000001 USD, spent 0.000000700 USD, reserved 0.000000 USD, "
        "asked 0.000000310 USD; it starts anew at 2026-11-22 00:00:00 UTC"
    )
    assert (desk.balance("TOK"), desk.balance("DAY", "customer=acme"), ledger.open_leases()) == ((70, 0), (700, 0), 0)
    notice = desk.notices[-1]
    assert (notice.kind, notice.budget, notice.asked, notice.percent) == ("budget_refused", "DAY", 310, 70)
    assert (notice.execution, notice.entry_id) == ("run-1", draft.id)
    desk.call(entry(customer="other"), max_output=31)  # another customer has an account of its own
    desk.call(entry(customer="acme"), max_output=30, used=30)
    assert desk.balance("DAY", "customer=acme") == (1000, 0)


def test_no_bound_means_the_assumed_output_for_what_generates(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "100000 tokens per day"}, assumed_output=500)
    for operation, choices, bound in [("chat", 1, 500), ("chat", 3, 1500), ("embeddings", 1, None), ("retrieval", 1, None)]:
        draft = entry(operation=operation)
        desk.admit(draft, max_output=None, choices=choices)
        assert (draft.usage.input, draft.usage.output) == (0, bound), operation
    assert desk.balance("TOK") == (0, 2000)


def test_bounds_that_are_none_do_not_enlarge_a_budget_or_overflow_it(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "1000 tokens per day"}, assumed_output=500)
    desk.admit(entry(), max_output=-1, choices=0)
    assert desk.balance("TOK") == (0, 500)
    with pytest.raises(BudgetExceeded):
        desk.admit(entry(), max_output=2**80)


bounds = st.none() | st.integers(-2, 2000) | st.integers(10**9 - 2, 10**9 + 2) | st.just(2**80)


def test_any_bound_gives_an_output_that_can_be_booked(entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(MemoryLedger(), {"SOFT": "1 token per day, then warn"}, assumed_output=500)

    @given(st.sampled_from(["chat", "embeddings"]), bounds, st.integers(-1, 4))
    def check(operation: str, bound: int | None, choices: int) -> None:
        draft = entry(operation=operation)
        desk.admit(draft, max_output=bound, choices=choices)
        each = bound if bound is not None and bound >= 0 else 500 if operation == "chat" else None
        assert draft.usage.output == (None if each is None else min(each, 10**9) * max(choices, 1))

    check()


def test_the_input_is_estimated_from_the_content(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "100000 tokens per day"})
    draft = entry()
    desk.admit(draft, max_output=1, content={"messages": [{"role": "user", "content": "eight short words are ten tokens or so " * 50}]})
    assert draft.usage.input is not None
    assert 200 < draft.usage.input < 1200
    assert desk.balance("TOK") == (0, draft.usage.total)


def test_what_has_numbers_already_is_not_estimated(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "1000 tokens per day", "USD": "1 USD per day"}, on_unpriced="block")
    in_tokens = entry(None, activity=Activity.PLUGIN, operation="execute_tool", plugin="search", usage=Usage(400))
    in_usd = entry(None, activity=Activity.PLUGIN, operation="execute_tool", plugin="mail", cost=Cost(500, CostStatus.EXACT, "plugin"))
    unpriced = entry(None, activity=Activity.PLUGIN, operation="execute_tool", plugin="clock")
    fetched = entry("unknown", operation="fetch_response", usage=Usage(0, 0, state=State.ESTIMATED), cost=Cost(0, CostStatus.ESTIMATED))
    for draft in (in_tokens, in_usd, unpriced, fetched):
        before = (draft.usage, draft.cost)
        desk.gate.settle(draft, desk.admit(draft, max_output=None))
        assert (draft.usage, draft.cost) == before
    assert desk.book.asked == 0
    assert (desk.balance("TOK"), desk.balance("USD")) == ((400, 0), (500, 0))


def test_a_draft_admitted_again_keeps_its_estimate(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "1000 tokens per day"})
    draft = entry()
    desk.gate.release(draft.id, desk.admit(draft, max_output=70))
    desk.admit(draft, max_output=999)
    assert desk.balance("TOK") == (0, 70)
    assert desk.book.asked == 1


def test_estimates_are_made_of_every_call(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"N": "10 calls per day"})
    draft = entry()
    desk.admit(draft)
    assert (desk.book.asked, draft.usage.output) == (1, 100)


def test_a_call_without_budgets_is_reserved_and_written(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "1 token per customer per day"})
    draft = entry()
    admission = desk.admit(draft)
    assert (admission, ledger.open_leases(), desk.gate.spool.leases) == (([], True), 1, {draft.id})
    desk.finish(draft, admission, used=5)
    assert desk.gate.spool.leases == set()
    assert (ledger.open_leases(), [written.id for written in ledger.entries()]) == (0, [draft.id])


def test_release_gives_back(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "100 tokens per day"})
    draft = entry()
    desk.gate.release(draft.id, desk.admit(draft, max_output=100))
    assert (desk.balance("TOK"), ledger.open_leases(), list(ledger.entries())) == ((0, 0), 0, [])


def test_two_settlements_count_once(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "1000 tokens per day"})
    draft = entry()
    admission = desk.admit(draft)
    desk.finish(draft, admission, used=50)
    desk.gate.settle(draft, admission)
    assert desk.balance("TOK") == (50, 0)


def test_warn_never_blocks_and_tells(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "100 tokens per day, warn at 50%, then warn"})
    for _ in range(4):
        desk.call(entry(), used=40)
    assert desk.balance("TOK") == (160, 0)
    assert desk.told == [("budget_threshold", "TOK", 50), ("budget_threshold", "TOK", 100)]


def test_thresholds_are_told_once_per_account_and_window(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "100 tokens per customer per hour, warn at 50% 80%, then warn"})
    for used in (49, 1, 10, 19, 1, 15, 5, 30):
        desk.call(entry(customer="acme"), used=used)
    assert [(n.percent, n.spent, n.limit, n.asked) for n in desk.notices] == [
        (50, 50, 100, None),
        (80, 80, 100, None),
        (100, 100, 100, None),
    ]
    desk.call(entry(customer="other"), used=85)
    desk.call(entry(customer="acme", time=desk.notices[0].window_end), used=200)
    assert [(n.scope, n.percent) for n in desk.notices[3:]] == [
        ("customer=other", 50), ("customer=other", 80), ("customer=acme", 50), ("customer=acme", 80), ("customer=acme", 100),
    ]  # fmt: skip


def test_every_refusal_is_told(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"N": "1 call per day"})
    desk.call(entry())
    for _ in range(2):
        with pytest.raises(
            BudgetExceeded, match="budget N refused this call: limit 1 calls, spent 1 calls, reserved 0 calls, asked 1 calls"
        ):
            desk.admit(entry())
    assert desk.told == [("budget_threshold", "N", 100), ("budget_refused", "N", 100), ("budget_refused", "N", 100)]


def test_a_run_is_told_no_end_and_forgotten_some_time_after_its_last_call(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"RUN": "1 call per run"})
    for number in range(20):
        desk.call(entry(execution=f"run-{number}"))
    with pytest.raises(BudgetExceeded) as refused:
        desk.admit(entry(execution="run-0"))
    assert (refused.value.window_end, {notice.window_end for notice in desk.notices}) == (None, {None})
    now = desk.gate._clock()
    assert len(ledger.balances(now)) == 20
    ledger.sweep(now + 7.1 * 86_400)
    assert ledger.balances(now) == []
    desk.call(entry(execution="run-0"))


def test_a_budget_of_nothing_refuses_what_it_is_about(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"NONE": "0 calls per day for model=paid"})
    desk.call(entry("free"))
    with pytest.raises(BudgetExceeded):
        desk.admit(entry("paid"))
    assert desk.notices[-1].percent is None


def test_a_free_model_passes_an_exhausted_budget(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"USD": "0.000001 USD per day"})
    desk.call(entry(), max_output=100, used=150)  # it used more than it might: the account is overdrawn
    assert desk.balance("USD") == (1500, 0)
    desk.call(entry("free"), used=100)
    with pytest.raises(BudgetExceeded):
        desk.admit(entry("paid"), max_output=1)


def test_an_unpriced_model_is_held_at_nothing_but_stopped_by_an_exhausted_budget(
    ledger: Ledger, entry: NewEntry, open_desk: OpenDesk
) -> None:
    desk = open_desk(ledger, {"USD": "0.000001 USD per day"})
    written = desk.call(entry("mystery"), used=100)
    assert (written.cost.nano_usd, desk.balance("USD")) == (None, (0, 0))
    desk.call(entry(), max_output=100, used=100)
    with pytest.raises(BudgetExceeded) as caught:
        desk.admit(entry("mystery"))
    assert (caught.value.spent, caught.value.asked) == (1000, 0)


def test_an_unpriced_model_may_be_blocked(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    budgets = {"USD": "1 USD per customer per day", "SOFT": "1 USD per day, then warn", "TOK": "1000 tokens per day"}
    desk = open_desk(ledger, budgets, on_unpriced="block")
    with pytest.raises(BudgetExceeded) as caught:
        desk.admit(entry("mystery", customer="acme"))
    assert str(caught.value) == (
        "budget USD for customer=acme refused this call: there is no price for acme/mystery and SPANLEDGER_ON_UNPRICED is block"
    )
    assert desk.notices[-1].reason == caught.value.reason
    assert desk.told == [("budget_refused", "USD", 0)]
    desk.call(entry("mystery"))  # only budgets in tokens, and one that never blocks
    assert (ledger.open_leases(), desk.balance("TOK")) == (0, (100, 0))


@pytest.mark.parametrize(
    ("usage", "error", "tokens", "nano"),
    [
        (Usage(3, 4), None, 7, 70),
        (Usage(3, 4, state=State.UNKNOWN), "TimeoutError", 7, 70),  # sent, nothing came back: the estimate, told as numbers
        (Usage(state=State.UNKNOWN), None, 100, 1000),  # nobody knows: the estimate
        (Usage(state=State.UNKNOWN), "openai.RateLimitError", 0, 0),  # turned away
    ],
)
def test_what_is_charged(
    usage: Usage, error: str | None, tokens: int, nano: int, ledger: Ledger, entry: NewEntry, open_desk: OpenDesk
) -> None:
    desk = open_desk(ledger, {"TOK": "1000 tokens per day", "USD": "1 USD per day", "N": "9 calls per day"})
    draft = entry()
    admission = desk.admit(draft, max_output=100)
    draft.usage, draft.error = usage, error
    draft.cost = desk.book.price("acme", "paid", usage, when=draft.time) if usage.total else Cost(None, CostStatus.UNPRICED)
    desk.gate.settle(draft, admission)
    assert (desk.balance("TOK"), desk.balance("USD"), desk.balance("N")) == ((tokens, 0), (nano, 0), (1, 0))


def test_calls_seen_afterwards_are_charged_to_the_accounts_they_match(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "100 tokens per customer per day, warn at 90%", "ALL": "1 call per day for model=other"})
    foreign = entry(customer="acme", usage=Usage(60, 35))
    desk.gate.settle_unreserved(foreign)
    assert (desk.balance("TOK", "customer=acme"), desk.balance("ALL")) == ((95, 0), (0, 0))
    assert desk.told == [("budget_threshold", "TOK", 90)]
    with pytest.raises(BudgetExceeded):
        desk.admit(entry(customer="acme"), max_output=6)


def test_a_call_seen_afterwards_that_tells_nothing_is_a_call(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "100 tokens per day", "USD": "1 USD per day", "N": "9 calls per day"})
    desk.gate.settle_unreserved(entry(usage=Usage(state=State.UNKNOWN)))
    assert (desk.balance("TOK"), desk.balance("USD"), desk.balance("N")) == ((0, 0), (0, 0), (1, 0))


def test_a_correction_from_elsewhere_finds_the_same_account(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"TOK": "1000 tokens per customer and run"})
    draft = entry(customer="acme", execution="x")
    admission = desk.admit(draft, max_output=100)
    draft.usage = Usage(10, 100, state=State.UNKNOWN)
    desk.gate.settle(draft, admission)
    assert desk.balance("TOK", "customer=acme, run=x") == (110, 0)
    corrected = entry(customer="acme", execution="x", usage=Usage(10, 20))
    corrected.id = draft.id
    desk.gate.settle_unreserved(corrected)
    assert desk.balance("TOK", "customer=acme, run=x") == (30, 0)


def test_strict_refuses_everything_while_a_budget_cannot_be_understood(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    problem = ConfigurationError("SPANLEDGER_BUDGET_TEAM", "cannot read it", "better")
    desk = open_desk(ledger, {}, refuse_all=f"{problem.where} cannot be understood and SPANLEDGER_STRICT is set")
    with pytest.raises(
        BudgetExceeded, match=r"^this call was refused: SPANLEDGER_BUDGET_TEAM cannot be understood and SPANLEDGER_STRICT is set$"
    ):
        desk.admit(entry())
    assert ledger.open_leases() == 0


def test_a_notice_that_raises_hurts_nobody(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_notice: object) -> None:
        raise ZeroDivisionError

    desk = open_desk(ledger, {"N": "1 call per day"}, notify=broken)
    desk.call(entry())
    with pytest.raises(BudgetExceeded):
        desk.admit(entry())
    assert [record.message for record in caplog.records] == ["a budget notice could not be delivered"] * 2


def test_a_busy_ledger_is_reported_or_spooled_if_the_caller_cannot_wait(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"N": "5 calls per day"})
    draft = entry()
    admission = desk.admit(draft)
    lock = ledger._lock if not ledger.shared else ledger._writer._lock  # type: ignore[attr-defined]
    with lock:
        with pytest.raises(LedgerBusy):
            desk.admit(entry(), wait=False)
        desk.finish(draft, admission, used=1, wait=False)
    assert desk.gate.spool.flush(5.0)
    assert (desk.balance("N"), ledger.open_leases()) == ((1, 0), 0)


def test_budgets_over_real_prices(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"USD": "0.01 USD per day"})
    desk.gate._book = PriceBook()
    draft = entry("gpt-4o", provider="openai", time=time.time())
    desk.admit(draft, max_output=1000)  # 10 USD a million output tokens
    assert (draft.cost.nano_usd, draft.cost.status) == (10_000_000, CostStatus.ESTIMATED)
    with pytest.raises(BudgetExceeded):
        desk.admit(entry("gpt-4o", provider="openai", time=time.time()), max_output=1)


def test_embeddings_have_a_price_without_output(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"USD": "0.01 USD per day"}, on_unpriced="block")
    desk.gate._book = PriceBook()
    draft = entry("text-embedding-3-small", provider="openai", operation="embeddings", activity=Activity.EMBEDDING, time=time.time())
    desk.admit(draft, max_output=None, content={"input": "some words to embed " * 100})
    assert draft.usage.input is not None
    assert (draft.usage.output, draft.cost.nano_usd) == (None, draft.usage.input * 20)


def test_a_budget_of_nothing_is_not_told_as_spent_before_anything_is(ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(ledger, {"USD": "0 USD per day, then warn"})
    desk.call(entry("free"))
    assert desk.told == []
    desk.call(entry("paid"))
    assert desk.told == [("budget_threshold", "USD", 100)]
