"""Which calls a budget is about, and on which account they are booked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from spanledger.budgets.match import Matcher, is_of
from spanledger.budgets.rule import parse
from spanledger.ledger.rules import idle_after
from spanledger.model import Activity, Hold

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.model import Entry

    NewEntry = Callable[..., Entry]


def find(text: str, entry: Entry) -> Hold | None:
    return Matcher(parse("B", text), ZoneInfo("Europe/Berlin")).find(entry)


@pytest.mark.parametrize(
    ("text", "fields", "scope"),
    [
        ("1 call per day", {}, ""),
        ("1 call per customer per day", {"customer": "acme"}, "customer=acme"),
        ("1 call per customer per day", {}, None),
        ("1 call per customer per day", {"customer": "Zoë & Co's"}, "customer=Zoë & Co's"),
        ("1 call per customer per day", {"customer": "a\nCRITICAL b\x1b[2J\ud800"}, "customer=a\\nCRITICAL b\\x1b[2J\\ud800"),
        ("1 call per customer per day", {"keys": {"customer": ""}}, None),
        ("1 call per customer", {"customer": "acme"}, "customer=acme"),
        ("1 call per user and campaign per day", {"keys": {"user": "u", "campaign": "c"}}, "user=u, campaign=c"),
        ("1 call per user and campaign per day", {"keys": {"user": "u"}}, None),
        ("1 call per model per day", {}, "model=paid"),
        ("1 call per model per day", {"model": None}, None),
        ("1 call per provider and service per day", {"service": "shop"}, "provider=acme, service=shop"),
        ("1 call per activity per day", {"activity": Activity.MEMORY}, "activity=memory"),
        ("1 call per plugin per day", {"plugin": "search"}, "plugin=search"),
        ("1 call per plugin per day", {}, None),
        ("1 call per run", {"execution": "x1"}, "run=x1"),
        ("1 call per run", {}, None),
        ("1 call per workflow", {"workflow": "w", "execution": "x1"}, "workflow=w, run=x1"),
        ("1 call per workflow", {"execution": "x1"}, None),
        ("1 call per workflow per day", {"workflow": "w", "execution": "x1"}, "workflow=w"),
        ("1 call per step", {"workflow": "w", "execution": "x1", "step": "s"}, "step=s, run=x1"),
        ("1 call per Tenant per day", {"keys": {"Tenant": "t"}}, "Tenant=t"),
        ("1 call per Tenant per day", {"keys": {"tenant": "t"}}, None),
        ("1 call per day for model=p*", {}, ""),
        ("1 call per day for model=P*", {}, ""),
        ("1 call per day for model=gpt-4o*", {"model": "GPT-4o-mini"}, ""),
        ("1 call per day for provider=ACME activity=LLM operation=Chat", {}, ""),
        ("1 call per day for customer=A*", {"customer": "acme"}, None),
        ("1 call per day for model=x model=p???", {}, ""),
        ("1 call per day for model=x provider=acme", {}, None),
        ("1 call per day for model=paid provider=acme", {}, ""),
        ("1 call per day for model=p", {}, None),
        ("1 call per day for plugin=*", {}, None),
        ("1 call per day for activity=llm operation=ch[a-c]t service=shop", {"service": "shop"}, ""),
        ("1 call per day for customer='Acme, *'", {"customer": "Acme, Inc"}, ""),
        ("1 call per day for customer=a*", {"customer": "a\nb"}, ""),
        ("1 call per day for workflow=w", {"workflow": "w"}, ""),
    ],
)
def test_who_is_in(text: str, fields: dict[str, Any], scope: str | None, entry: NewEntry) -> None:
    hold = find(text, entry(**fields))
    assert (hold and hold.scope) == scope


def test_the_account_says_unit_window_and_keys(entry: NewEntry) -> None:
    hold = find("5 USD per customer per day, warn at 50% 20%, then warn", entry(customer="acme"))
    assert hold == Hold(
        "B usd day 1795215600 {'customer': 'acme'}", "B", "customer=acme", hold.unit, 5 * 10**9, 1795215600 + 86400.0, False, 10**9
    )
    in_all = find("5 USD per customer", entry(customer="acme"))
    assert in_all is not None
    assert (in_all.account, in_all.ends) == ("B usd in all ever {'customer': 'acme'}", None)


def test_the_account_says_filters_whatever_their_order(entry: NewEntry) -> None:
    texts = [
        "2 calls per day",
        "2 calls per day for service=web",
        "2 calls per day for service=w*",
        "2 calls per day for service=web model=paid",
        "2 calls per day for model=paid service=x service=web",
        "2 calls per day for service=web service=x for model=paid",
    ]
    *others, one, same = [hold.account for text in texts if (hold := find(text, entry(service="web")))]
    assert len({*others, one}) == len(texts) - 1
    assert one == same
    assert one == "B calls day for [('model', ['paid']), ('service', ['web', 'x'])] 1795215600 {}"


RULES = [
    "3 calls per month",
    "3 calls per day",
    "3 calls per model per month",
    "3 calls per model and provider per month",
    "3 calls per model per month for provider=acme",
    "3 calls per month for provider=acme",
    "3 calls per provider",
    "3 calls per model",
    "3 calls per run",
]


@pytest.mark.parametrize("text", RULES)
def test_an_account_is_of_the_rule_that_it_was_opened_for(text: str, entry: NewEntry) -> None:
    hold = find(text, entry(execution="x", model="it's a \"model\", {'x'"))
    assert hold is not None
    assert [other for other in RULES if is_of(parse("B", other), hold.account)] == [text]


def test_values_cannot_pretend_to_be_other_accounts(entry: NewEntry) -> None:
    matcher = Matcher(parse("B", "1 call per user and campaign"), ZoneInfo("UTC"))
    pairs = [("a", "b"), ("a', 'campaign': 'b", "b"), ("a, campaign=b", "b"), ("a", "b, campaign=b"), ("b", "a"), ('a"', "b"), ("a'", 'b"')]
    found = [matcher.find(entry(keys={"user": user, "campaign": campaign})) for user, campaign in pairs]
    assert len({hold.account for hold in found if hold}) == len(pairs)


def test_a_call_belongs_to_the_window_in_which_it_started(entry: NewEntry) -> None:
    matcher = Matcher(parse("B", "1 call per minute"), ZoneInfo("UTC"))
    early, late = entry(time=119.9), entry(time=120.0)
    ends = [hold.ends for hold in (matcher.find(early), matcher.find(late), matcher.find(early)) if hold]
    assert ends == [120.0, 180.0, 120.0]


def test_a_run_keeps_its_account_and_every_hour_of_use_puts_its_end_off(entry: NewEntry) -> None:
    matcher = Matcher(parse("B", "1 call per run"), ZoneInfo("UTC"))
    early, soon, late = (matcher.find(entry(execution="x", time=when)) for when in (3600.0, 7199.9, 7200.0))
    assert early is not None
    assert early is soon
    assert late == replace(early, ends=idle_after(10800.0))
    assert (early.account, early.ends) == ("B calls run ever {'run': 'x'}", idle_after(7200.0))


def test_accounts_remembered_are_bounded_and_the_same_when_met_again(entry: NewEntry) -> None:
    matcher = Matcher(parse("B", "1 call per run"), ZoneInfo("UTC"))
    first = matcher.find(entry(execution="0"))
    for number in range(1, 5000):
        matcher.find(entry(execution=str(number)))
    assert len(matcher._current.known) <= 4096
    assert matcher.find(entry(execution="0")) == first


@pytest.mark.parametrize("field", ["plugin", "workflow", "model"])
def test_an_empty_value_meets_no_filter_as_none_at_all_does_not(entry: NewEntry, field: str) -> None:
    text = f"1 call per day for {field}=*"
    assert [find(text, entry(**{field: value})) is not None for value in (None, "", "x")] == [False, False, True]
