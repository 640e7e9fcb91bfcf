"""``spanledger budgets`` on real books that the tests fill."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from filled_books import QUARTER, book, entry, in_json, spanledger

from spanledger.budgets.match import Matcher
from spanledger.budgets.rule import parse

if TYPE_CHECKING:
    from spanledger.ledger.ledger import Ledger


def test_budgets_show_what_is_spent_reserved_and_left(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_BUDGET_TEAM", "0.001 USD per customer per month")
    book(ledger, entry("a"), charges=(QUARTER,))
    ledger.reserve(entry("b"), [QUARTER], time.time() + 60)

    (budget,) = in_json("budgets")
    shown = spanledger("budgets").stdout

    (account,) = budget["accounts"]
    assert budget["rule"] == "0.001 USD per customer per month"
    assert (account["spent"], account["reserved"], account["left"], account["limit_usd"]) == (250_000, 250_000, 500_000, "0.001000000")
    assert "spent 0.000250 USD, reserved 0.000250 USD, left 0.000500 USD of 0.001000 USD" in shown
    assert "customer=acme" in shown
    assert "starts anew 2057-" in shown
    assert "█" in shown
    assert "▒" in shown


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ("0.001 USD per customer per month", ""),
        ("0.002 USD per customer per month", "the limit is that of the newest call, not the one above"),
        ("0.001 USD per customer per day", "another rule of this name, not the one above"),
        ("1_000_000 tokens per customer per month", "another rule of this name, not the one above"),
        ("0.001 USD per month", "another rule of this name, not the one above"),
        ("0.001 USD per customer per month for model=gpt-5*", "another rule of this name, not the one above"),
    ],
)
def test_accounts_of_a_rule_that_was_changed_say_so(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, now: str, told: str) -> None:
    draft = entry("a", keys={"customer": "acme"}, time=time.time())
    hold = Matcher(parse("TEAM", "0.001 USD per customer per month"), ZoneInfo("UTC")).find(draft)
    assert hold is not None
    book(ledger, draft, charges=((hold, 1),))
    monkeypatch.setenv("SPANLEDGER_BUDGET_TEAM", now)

    shown = spanledger("budgets").stdout

    assert told in shown if told else "the one above" not in shown
    assert ("nothing booked to this budget yet" in shown) == told.startswith("another rule")


def test_a_configured_budget_is_shown_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_BUDGET_DAY", "20 USD per day")
    monkeypatch.setenv("SPANLEDGER_BUDGET_BAD", "20 apples per day")

    result = spanledger("budgets")

    assert result.exit_code == 0
    assert "DAY  20 USD per day" in result.stdout
    assert "nothing booked to this budget yet" in result.stdout
    assert "SPANLEDGER_BUDGET_BAD" in result.stderr
    assert in_json("budgets") == [{"budget": "DAY", "rule": "20 USD per day", "accounts": []}]


def test_a_budget_of_another_program_is_shown_too(ledger: Ledger) -> None:
    book(ledger, entry("a"), charges=(QUARTER,))

    assert "TEAM  not configured in this environment" in spanledger("budgets").stdout


def test_no_budget_says_how_to_set_one() -> None:
    assert "SPANLEDGER_BUDGET_DAY=" in spanledger("budgets").stdout
