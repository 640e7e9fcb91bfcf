"""The commands, on real books that the tests fill."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from spanledger.cli import main
from spanledger.ledger.open import open_ledger
from spanledger.ledger.spans import SpanRow, SpanStore
from spanledger.model import Activity, Cost, CostStatus, Entry, Hold, State, Total, Unit, Usage
from spanledger.report import views
from spanledger.report.queries import Report
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER_TRACE = "0af7000000000000000000000000000a"
JANUARY = 1_767_225_600.0
TEAM = Hold("TEAM", "TEAM", "customer=acme", Unit.USD, 1_000_000, 250_000, JANUARY + 10**9)


def spanledger(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def in_json(*arguments: str) -> Any:
    result = spanledger(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def entry(name: str, *, model: str | None = "gpt-4o-mini", nano: int | None = 123_000, **changes: Any) -> Entry:
    cost = Cost(nano, CostStatus.EXACT if nano is not None else CostStatus.UNPRICED)
    made = Entry(
        name, JANUARY, Activity.LLM, "openai", "chat", model, trace_id=TRACE, span_id=f"{name:0>16}", usage=Usage(1_200, 34), cost=cost
    )
    return replace(made, **changes)


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    return open_ledger(ledger_url)


def book(ledger: Ledger, *entries: Entry, charges: tuple[Hold, ...] = ()) -> None:
    for made in entries:
        ledger.reserve(made, charges, time.time() + 60)
        ledger.settle(made, charges)


def span(name: str, span_id: str, parent: str | None = None, trace: str = TRACE, **changes: Any) -> SpanRow:
    row = {
        "trace_id": trace, "span_id": span_id, "parent_id": parent, "name": name, "kind": "internal", "start_ns": 10**18,
        "end_ns": 10**18 + 2 * 10**8,
        "status": "unset", "status_message": None, "scope": "spanledger", "attributes": {}, "events": [], "resource": {}, "links": [],
    }  # fmt: skip
    return SpanRow(**{**row, **changes})


@pytest.fixture
def spans(tmp_path: Any) -> SpanStore:
    return SpanStore(tmp_path / "ledger.db")


# --- report


def test_an_empty_ledger_says_what_to_do() -> None:
    result = spanledger("report")

    assert result.exit_code == 0
    assert "The books are empty" in result.stdout
    assert "spanledger run -- python app.py" in result.stdout


def test_report_has_tokens_with_separators_and_money_with_enough_digits(ledger: Ledger) -> None:
    book(ledger, entry("a"), entry("b"))

    lines = spanledger("report").stdout.splitlines()

    row = next(line for line in lines if line.startswith("gpt-4o-mini"))
    assert row.split() == ["gpt-4o-mini", "2", "2,400", "68", "0.000246", "USD", "0.000246", "USD"]
    assert next(line for line in lines if line.startswith("total")).split()[1:4] == ["2", "2,400", "68"]


def test_a_model_without_a_price_has_no_cost_and_a_footnote(ledger: Ledger) -> None:
    book(ledger, entry("a", model="mystery", nano=None))

    row = in_json("report")["rows"][0]
    shown = spanledger("report").stdout

    assert (row["consumed"]["nano_usd"], row["consumed"]["usd"], row["unpriced"]) == (None, None, 1)
    assert next(line for line in shown.splitlines() if line.startswith("mystery")).count("unknown") == 2
    assert "1 unpriced" in shown
    assert "SPANLEDGER_PRICES" in shown
    assert "0.000000" not in shown


def test_what_is_not_exact_is_marked_and_explained(ledger: Ledger) -> None:
    book(
        ledger,
        entry("a", cost=Cost(5_000, CostStatus.ESTIMATED)),
        entry("b", model="half", cost=Cost(7_000, CostStatus.PARTIAL)),
        entry("c", model="away", nano=None, usage=Usage(state=State.UNKNOWN), error="RateLimitError"),
    )

    lines = [line.rstrip() for line in spanledger("report").stdout.splitlines()]

    row = {line.split()[0]: line for line in lines if line}
    assert row["gpt-4o-mini"].endswith("1 cost estimated")
    assert row["half"].endswith("1 cost partial")
    assert row["away"].split()[-6:] == ["unknown", "unknown", "1", "unknown,", "1", "failed"]
    assert not any("SPANLEDGER_PRICES" in line for line in lines)
    assert all(any(line.startswith(f"{word}: ") for line in lines) for word in ("cost estimated", "cost partial", "unknown", "failed"))
    assert not any(line.startswith("estimated: ") for line in lines)


def test_a_step_won_by_a_model_without_a_price_has_no_billable_amount(ledger: Ledger) -> None:
    for attempt, nano in ((1, 123_000), (2, None)):
        book(ledger, entry(str(attempt), nano=nano, execution="run", step="write", attempt=attempt))
        ledger.end_step("run", "write", attempt, ok=True)

    total = in_json("report")["total"]
    (row,) = [line for line in spanledger("report").stdout.splitlines() if line.startswith("gpt-4o-mini")]

    assert (total["consumed"]["nano_usd"], total["consumed"]["without_cost"]) == (123_000, 1)
    assert (total["billable"]["nano_usd"], total["billable"]["without_cost"]) == (None, 1)
    assert row.split()[-5:] == ["0.000123", "USD", "unknown", "1", "unpriced"]


def test_a_replaced_attempt_is_consumed_but_not_billable(ledger: Ledger) -> None:
    for attempt in (1, 2):
        book(ledger, entry(str(attempt), execution="run", step="write", attempt=attempt))
        ledger.end_step("run", "write", attempt, ok=True)

    total = in_json("report", "--execution", "run")["total"]

    assert (total["consumed"]["calls"], total["consumed"]["nano_usd"]) == (2, 246_000)
    assert (total["billable"]["calls"], total["billable"]["nano_usd"]) == (1, 123_000)


def test_report_groups_by_several_and_by_scope_keys(ledger: Ledger) -> None:
    book(ledger, entry("a", keys={"customer": "acme"}), entry("b", keys={"customer": "acme"}, activity=Activity.EMBEDDING), entry("c"))

    rows = in_json("report", "--by", "customer", "--by", "activity")["rows"]

    groups = {(row["group"]["customer"], row["group"]["activity"]) for row in rows}
    assert groups == {("acme", "llm"), ("acme", "embedding"), (None, "llm")}
    assert "(no customer)" in spanledger("report", "--by", "customer").stdout


def test_days_are_in_their_order_and_a_misspelt_group_is_told(ledger: Ledger) -> None:
    book(ledger, entry("a", nano=1), entry("b", time=JANUARY + 86_400, nano=9), entry("c", time=JANUARY + 2 * 86_400, nano=5))

    days = [row["group"]["day"] for row in in_json("report", "--by", "day")["rows"]]

    assert days == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert "costumer: no call has a scope key of this name" in spanledger("report", "--by", "costumer").stdout


def test_report_of_a_time(ledger: Ledger) -> None:
    book(ledger, entry("old", time=JANUARY - 86_400), entry("new", time=JANUARY))

    assert in_json("report", "--since", "2026-01-01")["total"]["consumed"]["calls"] == 1
    assert in_json("report", "--until", "2026-01-01")["total"]["consumed"]["calls"] == 1
    assert in_json("report", "--since", "2025-01-01T00:00+01:00")["total"]["consumed"]["calls"] == 2
    assert "for that time" in spanledger("report", "--since", "1m").stdout


def test_amounts_are_exact_in_json(ledger: Ledger) -> None:
    book(ledger, entry("a", nano=1_234_567_890_123_456))

    consumed = in_json("report")["total"]["consumed"]

    assert consumed["nano_usd"] == 1_234_567_890_123_456
    assert consumed["usd"] == "1234567.890123456"


def test_a_narrow_terminal_loses_no_number() -> None:
    row = Total(
        {"model": "a-model-with-a-very-long-name"},
        3,
        1_234_567,
        89,
        nano_usd=5_000_000_000,
        billable_calls=3,
        billable_nano_usd=5_000_000_000,
    )
    console = Console(width=50, file=io.StringIO())
    with console.capture() as printed:
        console.print(views.report_view(Report(("model",), [row], row), 50))
    text = printed.get()

    assert "tokens 1,234,567 in, 89 out" in text
    assert "consumed 5.000000 USD, billable 5.000000 USD" in text


# --- budgets


def test_budgets_show_what_is_spent_reserved_and_left(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_BUDGET_TEAM", "0.001 USD per customer per month")
    book(ledger, entry("a"), charges=(TEAM,))
    ledger.reserve(entry("b"), [TEAM], time.time() + 60)

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


def test_a_configured_budget_is_shown_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_BUDGET_DAY", "20 USD per day")
    monkeypatch.setenv("SPANLEDGER_BUDGET_BAD", "20 apples per day")

    result = spanledger("budgets")

    assert result.exit_code == 0
    assert "DAY  20 USD per day" in result.stdout
    assert "nothing spent yet" in result.stdout
    assert "SPANLEDGER_BUDGET_BAD" in result.stderr
    assert in_json("budgets") == [{"budget": "DAY", "rule": "20 USD per day", "accounts": []}]


def test_a_budget_of_another_program_is_shown_too(ledger: Ledger) -> None:
    book(ledger, entry("a"), charges=(TEAM,))

    assert "TEAM  not configured in this environment" in spanledger("budgets").stdout


def test_no_budget_says_how_to_set_one() -> None:
    assert "SPANLEDGER_BUDGET_DAY=" in spanledger("budgets").stdout


# --- trace


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


# --- status and errors


def test_status_of_a_sound_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_BUDGET_DAY", "20 USD per day")
    monkeypatch.setenv("SPANLEDGER_REDACTION_KEY", "very secret")

    found = in_json("status")
    shown = spanledger("status")

    libraries = {library["library"]: library for library in found["libraries"]}
    settings = {setting["variable"]: setting for setting in found["settings"]}
    assert found["ok"]
    assert libraries["openai"]["state"] == libraries["anthropic"]["state"] == "patched"
    assert any(place.endswith(":Completions.create") for place in libraries["openai"]["patched"])
    assert settings["SPANLEDGER_REDACTION_KEY"] == {
        "variable": "SPANLEDGER_REDACTION_KEY", "value": "(set, not shown)", "source": "SPANLEDGER_REDACTION_KEY",
    }  # fmt: skip
    assert settings["SPANLEDGER_STRICT"]["source"] == "default"
    assert shown.exit_code == 0
    assert "very secret" not in shown.output + json.dumps(found)
    assert "SPANLEDGER_BUDGET_DAY  20 USD per day" in shown.stdout


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SPANLEDGER_BUDGET_DAY", "20 apples per day", "this budget is not enforced"),
        ("SPANLEDGER_LEASE_SECONDS", "soon", "a number of seconds"),
        ("SPANLEDGER_PLUGIN_PRICES", "search=dear", "0.002 USD"),
        ("SPANLEDGER_LEDGER", "sqlite:////proc/nowhere/ledger.db", "/proc/nowhere"),
        ("SPANLEDGER_LEDGER", "redis://user:hidden@host/0", "user:***@host"),
    ],
)
def test_status_says_what_is_broken_and_how_to_mend_it(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str) -> None:
    monkeypatch.setenv(variable, value)

    result = spanledger("status")

    broken = [line for line in result.stdout.splitlines() if line.startswith("broken")]
    assert result.exit_code == 1
    assert len(broken) == 1
    assert told in result.stdout
    assert "to mend it:" in result.stdout
    assert "hidden" not in result.output


def test_status_tells_of_a_bad_price_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("models: [this, is, no, mapping]\n")
    monkeypatch.setenv("SPANLEDGER_PRICES", str(prices))

    result = spanledger("status")

    assert result.exit_code == 1
    assert "prices.yaml" in result.stdout


@pytest.mark.parametrize("command", ["report", "trace", "budgets"])
def test_a_ledger_that_nobody_else_can_read_is_one_clear_line(command: str) -> None:
    result = spanledger(command, "--ledger", "memory:")

    assert result.exit_code == 2
    assert result.stderr.startswith("spanledger: --ledger: memory: belongs to one process")
    assert result.stderr.count("\n") == 1


READERS = ["report", "trace", "budgets", "reconcile", "ledger export --once", "audit list", "audit verify"]


@pytest.mark.parametrize("command", READERS)
def test_a_mistyped_ledger_is_told_and_not_created(command: str, tmp_path: Path) -> None:
    result = spanledger(*command.split(), "--ledger", f"sqlite:///{tmp_path}/typo/ledger.db")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"spanledger: --ledger: there is no file {tmp_path}/typo/ledger.db; expected the ledger of a program")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", READERS)
def test_looking_at_books_that_are_not_there_yet_creates_nothing(command: str, tmp_path: Path) -> None:
    result = spanledger(*command.split())

    assert result.exit_code == (0 if command in {"report", "budgets", "audit list", "audit verify"} else 2)
    assert list(tmp_path.iterdir()) == []
    if command in {"reconcile", "ledger export --once"}:
        assert result.stderr.startswith(
            f"spanledger: SPANLEDGER_LEDGER: there is no file {tmp_path}/ledger.db; expected the ledger of a program"
        )


def test_status_creates_no_ledger(tmp_path: Path, ledger_url: str) -> None:
    mistyped, missing = spanledger("status", "--ledger", f"sqlite:///{tmp_path}/typo/ledger.db"), spanledger("status")

    assert (mistyped.exit_code, missing.exit_code) == (1, 0)
    assert f"--ledger: there is no file {tmp_path}/typo/ledger.db" in mistyped.stdout.replace("\n", "")
    assert f"{tmp_path}/ledger.db: not there yet" in missing.stdout.replace("\n", "")
    assert list(tmp_path.iterdir()) == []


def test_looking_at_the_books_writes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    book(ledger, entry("a"))
    written = [path for path in tmp_path.iterdir() if path.suffix != ".db-shm"]  # the locks of readers are in that one
    before = [path.read_bytes() for path in written]

    for command in ("report", "budgets", "trace"):
        spanledger(command)

    assert [path.read_bytes() for path in written] == before


def test_what_others_named_cannot_command_the_terminal(ledger: Ledger, spans: SpanStore) -> None:
    evil = "\x1b[31mred\x1b]0;title\x07\u202e\r\nx"
    shown = r"\x1b[31mred\x1b]0;title\x07\u202e\r\nx"
    hold = replace(TEAM, scope=f"customer={evil}")
    book(ledger, entry("1", keys={"customer": evil}), charges=(hold,))
    attributes = {s.ERROR_TYPE: evil, s.INPUT_MESSAGES: evil}
    spans.save([span(evil, f"{'1':0>16}", attributes=attributes, resource={"service.name": evil})])

    printed = [spanledger(*command).stdout for command in (("report", "--by", "customer"), ("budgets",), ("trace",))]

    assert all(shown in text for text in printed)
    assert not any(char in text for text in printed for char in "\x1b\x07\u202e\r")


def test_days_are_said_to_be_in_utc(ledger: Ledger) -> None:
    book(ledger, entry("a"))

    assert "2026-01-01 UTC" in spanledger("report", "--by", "day").stdout


def test_a_file_that_is_no_ledger_is_one_clear_line(tmp_path: Any) -> None:
    (tmp_path / "ledger.db").write_text("this is not a database, it is a letter to my grandmother" * 20)

    result = spanledger("report")

    assert result.exit_code == 2
    assert "ledger.db" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_point_in_time_that_cannot_be_read() -> None:
    result = spanledger("report", "--since", "last summer")

    assert result.exit_code == 2
    assert result.stderr == (
        "spanledger: --since: cannot read 'last summer'; expected now, today, yesterday, a time span such as 24h or 7d, "
        "or a date such as 2026-01-31 or 2026-01-31T12:00\n"
    )


def test_version_and_help() -> None:
    assert spanledger("--version").stdout.startswith("spanledger ")
    shown = spanledger("--help").stdout
    assert all(f"\n  {command} " in shown for command in ("run", "status", "report", "trace", "budgets"))
