"""``spanledger trace`` on real books that the tests fill."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from filled_books import OTHER_TRACE, TRACE, book, entry, in_json, span, spanledger

from spanledger.model import Cost, CostStatus, State, Usage
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from spanledger.ledger.ledger import Ledger
    from spanledger.ledger.spans import SpanStore


def test_a_trace_is_a_tree_with_the_numbers_of_the_books(ledger: Ledger, spans: SpanStore) -> None:
    book(ledger, entry("1", superseded=True), entry("2", usage=Usage(8, 5, cache_read=4, reasoning=2, state=State.ESTIMATED)))
    spans.save(
        [
            span("invoke_workflow answer", "a" * 16, resource={"service.name": "desk"}),
            span("chat gpt-4o-mini", f"{'2':0>16}", "a" * 16, start_ns=10**18 + 2),
            span("chat gpt-4o-mini", f"{'1':0>16}", "a" * 16, start_ns=10**18 + 1),
        ]
    )

    lines = spanledger("trace", TRACE[:6]).stdout.splitlines()
    (tree,) = in_json("trace")

    assert lines[0] == f"trace {TRACE} of desk"
    assert "invoke_workflow answer  200 ms" in lines[1]
    assert "1,200 → 34 tokens  0.000123 USD  superseded" in lines[2]
    assert "8 → 5 tokens  4 from cache  2 reasoning  0.000123 USD  estimated" in lines[3]
    root = tree["spans"][0]
    assert [child["entry"]["id"] for child in root["children"]] == ["1", "2"]
    assert root["children"][0]["entry"]["nano_usd"] == 123_000


def test_a_trace_marks_costs_that_are_not_exact(ledger: Ledger, spans: SpanStore) -> None:
    book(
        ledger,
        entry("1", cost=Cost(5_000, CostStatus.ESTIMATED)),
        entry("2", cost=Cost(5_000, CostStatus.PARTIAL)),
        entry("3", nano=None, usage=Usage(state=State.UNKNOWN), error="RateLimitError"),
    )
    spans.save([span(f"chat {number}", f"{number:0>16}", start_ns=10**18 + number) for number in (1, 2, 3)])

    lines = spanledger("trace").stdout.splitlines()

    assert lines[1].endswith("0.000005 USD  cost estimated")
    assert lines[2].endswith("0.000005 USD  cost partial")
    assert lines[3].endswith("  unknown  unknown")
    assert [one["entry"]["cost_status"] for one in in_json("trace")[0]["spans"]] == ["estimated", "partial", "unpriced"]


def test_a_refused_call_and_captured_content_are_shown(spans: SpanStore) -> None:
    refusal = {
        s.BUDGET_NAME: "DAY", s.BUDGET_SCOPE: "customer=acme", s.BUDGET_UNIT: "usd", s.BUDGET_LIMIT: 10**7, s.BUDGET_SPENT: 5 * 10**6,
        s.BUDGET_RESERVED: 0, s.BUDGET_ASKED: 6 * 10**8,
    }  # fmt: skip
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Write to [EMAIL]"}]}])
    event = {"name": s.EVENT_PREFIX + s.EVENT_BUDGET_REFUSED, "attributes": refusal}
    spans.save(
        [
            span("chat opus", "b" * 16, status="error", events=[event], attributes={s.ERROR_TYPE: "BudgetExceeded"}),
            span("chat mini", "c" * 16, attributes={s.INPUT_MESSAGES: said}, start_ns=10**18 + 1),
            span(
                "execute_tool x", "d" * 16, "gone", attributes={s.TOOL_ARGUMENTS: "no json", s.ERROR_TYPE: "KeyError"}, start_ns=10**18 + 2
            ),
        ]
    )

    shown = spanledger("trace").stdout

    assert "refused: BudgetExceeded" in shown
    assert "budget DAY for customer=acme refused it, nothing was sent: limit 0.010000 USD, spent 0.005000 USD" in shown
    assert "input: user: Write to [EMAIL]" in shown
    assert "error: KeyError" in shown
    assert "arguments: no json" in shown


@pytest.mark.parametrize(("name", "whom"), [("DAY", "budget DAY refused it"), ("", "it was refused")])
def test_a_refusal_for_another_reason_is_shown_without_amounts(spans: SpanStore, name: str, whom: str) -> None:
    refusal = {s.BUDGET_NAME: name, s.BUDGET_UNIT: "calls", s.BUDGET_LIMIT: 0, s.BUDGET_REASON: "the ledger cannot be reached"}
    event = {"name": s.EVENT_PREFIX + s.EVENT_BUDGET_REFUSED, "attributes": refusal}
    spans.save([span("chat opus", "b" * 16, status="error", events=[event], attributes={s.ERROR_TYPE: "BudgetExceeded"})])

    shown = spanledger("trace").stdout

    assert f"{whom}, nothing was sent: the ledger cannot be reached" in " ".join(shown.split())
    assert "limit" not in shown


def test_the_newest_traces_are_shown_newest_last(spans: SpanStore) -> None:
    spans.save([span(f"span {number}", f"{number:016x}", trace=f"{number:032x}", start_ns=10**18 + number) for number in (1, 2, 3)])

    assert [trace["spans"][0]["name"] for trace in in_json("trace", "--last", "2")] == ["span 2", "span 3"]
    assert "no spans are kept here yet" not in spanledger("trace").stderr


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("0af7", "several traces start with '0af7'"), ("ffff", "no trace here starts with 'ffff'"), ("hello", "is no trace id")],
)
def test_a_trace_that_is_not_one_is_said_in_one_line(spans: SpanStore, wanted: str, message: str) -> None:
    spans.save([span("a", "a" * 16), span("b", "b" * 16, trace=OTHER_TRACE)])

    result = spanledger("trace", wanted)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("width", ["40", "80", "120"])
def test_a_trace_that_is_deeper_than_the_terminal_is_wide_is_shown_to_its_end(
    spans: SpanStore, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    spans.save([span(f"s{level}", f"{level:016x}", f"{level - 1:016x}" if level > 1 else None) for level in range(1, 1501)])
    monkeypatch.setenv("COLUMNS", width)

    shown = spanledger("trace").stdout

    assert [f"s{level} " in shown for level in range(1, 1501)] == [True] * 1500
    assert "level 1500: s1500" in shown
    assert spanledger("trace", "--json").stderr.startswith("spanledger: the spans are nested too deeply for JSON")


def test_captured_messages_of_another_kind_are_shown_as_they_are(spans: SpanStore) -> None:
    spans.save([span("chat", "a" * 16, attributes={"gen_ai.input.messages": '[{"role": "user", "parts": null}, 7]'})])

    assert "input: user: {'role': 'user', 'parts': None} / 7" in spanledger("trace").stdout
