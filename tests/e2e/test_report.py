"""``spanledger report`` on real books that the tests fill."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING, Any

import pytest
from filled_books import JANUARY, book, entry, in_json, spanledger
from rich.console import Console

from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, State, Total, Unsettled, Usage
from spanledger.report import views
from spanledger.report.queries import Report

if TYPE_CHECKING:
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger


def test_an_empty_ledger_says_what_to_do() -> None:
    result = spanledger("report")

    assert result.exit_code == 0
    assert "The books are empty" in result.stdout
    assert "spanledger run -- python app.py" in result.stdout


def test_calls_of_ended_processes_are_told_of(ledger: Ledger) -> None:
    ledger.reserve(entry("dead", nano=250_000_000), (), time.time() - 1)
    ledger.reserve(entry("alive"), (), time.time() + 60)
    told = "1 calls of ended processes are not settled yet: up to 0.250000 USD"

    empty = spanledger("report").stdout
    book(ledger, entry("done"))

    assert "The books are empty" in empty
    assert told in empty
    assert told in spanledger("report").stdout
    assert in_json("report")["unsettled"] == {"calls": 1, "nano_usd": 250_000_000, "usd": "0.250000000"}
    assert f"1 calls in the books, 0 budget accounts, 1 calls under way, {told}" in " ".join(spanledger("status").stdout.split())
    ledger.sweep(time.time())
    assert "not settled" not in spanledger("report").stdout


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
    assert "costumer: no call has a scope key of this name" in spanledger("report", "--by", "costumer", "--json").stderr
    assert spanledger("report", "--by", "model", "--json").stderr == ""


@pytest.mark.parametrize("group", ["", " ", "model,day"])
def test_what_is_no_group_is_a_mistake(ledger: Ledger, group: str) -> None:
    book(ledger, entry("a"))
    result = spanledger("report", "--by", group)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "for several give --by several times" in result.stderr


@pytest.mark.parametrize("command", ["report", "budgets"])
def test_a_time_zone_that_cannot_be_read_is_told_of_where_numbers_depend_on_it(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("SPANLEDGER_TIMEZONE", "Europe/Berlinn")
    result = spanledger(command)
    assert result.exit_code == 0
    assert result.stderr.startswith("spanledger: SPANLEDGER_TIMEZONE: cannot read 'Europe/Berlinn'")
    assert result.stderr.endswith("days are those of UTC\n")


def test_no_line_is_wrapped_where_there_is_no_terminal(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    name = "a-model-with-a-very-long-name-such-as-those-of-gateways/" * 3
    book(ledger, entry("a", model=name, keys={"customer": "c" * 80}))
    assert any(name in line and "c" * 80 in line for line in spanledger("report", "--by", "model", "--by", "customer").stdout.splitlines())


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
        console.print(views.report_view(Report(("model",), [row], row, Unsettled()), 50))
    text = printed.get()

    assert "tokens 1,234,567 in, 89 out" in text
    assert "consumed 5.000000 USD, billable 5.000000 USD" in text


def test_days_are_said_to_be_in_utc(ledger: Ledger) -> None:
    book(ledger, entry("a"))

    assert "2026-01-01 UTC" in spanledger("report", "--by", "day").stdout


def test_a_point_in_time_that_cannot_be_read() -> None:
    result = spanledger("report", "--since", "last summer")

    assert result.exit_code == 2
    assert result.stderr == (
        "spanledger: --since: cannot read 'last summer'; expected now, today, yesterday, a time span such as 24h or 7d, "
        "or a date such as 2026-01-31 or 2026-01-31T12:00\n"
    )


def test_csv_has_the_numbers_of_the_json_for_its_owner_alone(ledger: Ledger, tmp_path: Path) -> None:
    book(ledger, entry("a", keys={"customer": "acme"}), entry("b", model="mystery", nano=None, keys={"customer": "=HYPERLINK(1)"}))
    file = tmp_path / "spend.csv"
    file.write_text("old, and readable for everybody")

    result = spanledger("report", "--by", "customer", "--by", "model", "--csv", str(file))
    rows = list(csv.DictReader(file.read_text().splitlines()))
    told = {row["group"]["model"]: row for row in in_json("report", "--by", "customer", "--by", "model")["rows"]}

    assert result.exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert [(row["customer"], row["model"]) for row in rows] == [("acme", "gpt-4o-mini"), ("'=HYPERLINK(1)", "mystery")]
    for row in rows:
        for side in ("consumed", "billable"):
            for name, value in told[row["model"]][side].items():
                assert row[f"{side}_{name}"] == ("" if value is None else str(value))
        assert row["unpriced"] == str(told[row["model"]]["unpriced"])


@pytest.mark.parametrize(
    ("name", "written"), [("acme;=1+1", "acme;'=1+1"), ("acme; @x", "acme;' @x"), ("a\t-1", "a\t'-1"), ("a-b; c=d", "a-b; c=d")]
)
def test_csv_has_no_formula_for_spreadsheets_that_divide_at_semicolons(ledger: Ledger, tmp_path: Path, name: str, written: str) -> None:
    book(ledger, entry("a", keys={"customer": name}))
    file = tmp_path / "spend.csv"

    spanledger("report", "--by", "customer", "--csv", str(file))

    assert [row["customer"] for row in csv.DictReader(file.read_text().splitlines())] == [written]


def test_csv_goes_into_what_is_no_file_without_removing_it(ledger: Ledger, tmp_path: Path) -> None:
    book(ledger, entry("a"))
    link = tmp_path / "link.csv"
    link.symlink_to("/dev/null")

    assert spanledger("report", "--csv", str(link)).exit_code == 0
    assert link.is_symlink()
    assert "cannot be written (No such file or directory)" in spanledger("report", "--csv", str(tmp_path / "no" / "x.csv")).stderr


@pytest.mark.parametrize("command", ["report", "reconcile"])
def test_an_end_before_the_beginning_is_a_mistake_and_no_empty_report(ledger: Ledger, command: str) -> None:
    book(ledger, entry("a"))

    result = spanledger(command, "--since", "2026-10-31", "--until", "2026-10-01")

    assert result.exit_code == 2
    assert result.stderr == "spanledger: --until: '2026-10-01' is not after --since '2026-10-31'; expected a later point in time\n"


def test_numbers_that_leave_no_room_for_names_make_paragraphs(ledger: Ledger) -> None:
    book(ledger, entry("a", nano=10**15, usage=Usage(10**12, 10**12), keys={"customer": "acme corporation"}))

    shown = spanledger("report", "--by", "model", "--by", "customer", "--by", "day").stdout

    assert "gpt-4o-mini, acme corporation, 2026-01-01 UTC" in shown
    assert "consumed 1,000,000.000000 USD" in shown


def test_json_commands_no_terminal_and_says_the_same(ledger: Ledger) -> None:
    model = "x\x9b31m\x1b[2J\u202e\x7fé"
    book(ledger, entry("a", model=model))

    shown = spanledger("report", "--json").stdout

    assert not set("\x1b\x9b\x7f\u202e") & set(shown)
    assert "é" in shown
    assert in_json("report")["rows"][0]["group"] == {"model": model}


def test_the_total_is_that_of_the_rows_while_others_book(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read = SqliteLedger.totals

    def overtaken(books: SqliteLedger, *arguments: Any, **chosen: Any) -> list[Total]:
        found = read(books, *arguments, **chosen)
        book(ledger, entry(f"late {len(list(ledger.entries()))}"))
        return found

    book(ledger, entry("a"))
    monkeypatch.setattr(SqliteLedger, "totals", overtaken)
    told = in_json("report")

    assert [row["consumed"] for row in told["rows"]] == [told["total"]["consumed"]]
