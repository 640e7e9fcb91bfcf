"""``spanledger reconcile`` as people and programs run it."""

from __future__ import annotations

import csv
import json
import sqlite3
import stat
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from spanledger.budgets.spill import Folder, Settlement
from spanledger.cli import main
from spanledger.errors import LedgerError
from spanledger.ledger.spans import SpanRow, SpanStore
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import ActivityTotal, Execution
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def reconcile(books: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SPANLEDGER_LEDGER", books.url)

    def run(*arguments: Any) -> Result:
        return CliRunner().invoke(main, ["reconcile", *map(str, arguments)])

    return run


@pytest.fixture
def differing(books: Any, call: Any, span: Any) -> Any:
    """Forty calls, one of which has no span, one an other cost, one is there twice; and one line of garbage."""
    calls = [call(n) for n in range(40)]
    books.book(*calls)
    books.export(*map(span, calls[:20]), *map(span, calls[21:]), span(calls[30]))
    books.book(call(50))
    books.export(span(call(50, nano=11_000)), span(call(51)))
    books.book(call(51))
    books.write(b"garbage\n")
    return books


def test_agreement(books: Any, call: Any, reconcile: Any) -> None:
    books.both(*(call(n) for n in range(3)))
    result = reconcile("--spans", books.file)
    assert result.exit_code == 0, result.output
    assert "Ledger and spans agree." in result.output
    assert "3 entries" in result.output
    assert list(books.ledger.audit()) == []


def test_differences_for_people(differing: Any, call: Any, reconcile: Any) -> None:
    result = reconcile("--spans", differing.file.parent, "--show", 1)
    assert result.exit_code == 1
    assert "Ledger and spans differ in 2 entries." in result.output
    assert "missing in spans" in result.output
    assert call(20).id in result.output
    assert call(50).id not in result.output
    assert "2 more: --show 3" in result.output
    assert "Spans that arrived twice" in result.output
    assert "spans.jsonl:6 is no request in JSON (8 bytes)" in result.output


def test_differences_for_programs(differing: Any, call: Any, reconcile: Any) -> None:
    result = reconcile("--spans", differing.file, "--json", "--no-audit")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["agrees"], told["disagreements"]) == (False, 2)
    assert told["kinds"] == {"cost_differs": 1, "delivered_twice": 1, "missing_in_spans": 1}
    sources = told["sources"]
    assert (sources["ledger"]["entries"], sources["spans"]["spans"], sources["spans"]["unreadable"]) == (42, 41, 1)
    operations = next(line for line in told["sums"] if line["quantity"] == "operations")
    assert operations == {"activity": "llm", "quantity": "operations", "ledger": 42, "spans": 41, "difference": -1, "relative": 1 / 42}
    delivered = next(line for line in told["delivered"] if line["quantity"] == "operations")
    assert (delivered["spans"], delivered["delivered"]) == (41, 42)
    assert [one["entry_id"] for one in told["differences"]] == [call(20).id, call(50).id, call(30).id]
    cost = told["differences"][1]
    assert (cost["ledger"]["nano_usd"], cost["spans"][0]["nano_usd"], cost["kinds"]) == (10_050, 11_000, ["cost_differs"])
    assert sum(reason["entries"] for reason in told["reasons"]) == 3


def test_all_differences_as_csv_that_only_the_owner_reads(differing: Any, call: Any, reconcile: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    assert reconcile("--spans", differing.file, "--csv", path, "--show", 0, "--no-audit").exit_code == 1
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["entry_id"], line["kinds"], line["deliveries"]) for line in lines] == [
        (call(20).id, "missing_in_spans", "0"), (call(50).id, "cost_differs", "1"), (call(30).id, "delivered_twice", "2"),
    ]  # fmt: skip
    assert (lines[1]["ledger_nano_usd"], lines[1]["span_nano_usd"]) == ("10050", "11000")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_csv_that_cannot_be_written_is_an_error(differing: Any, reconcile: Any, tmp_path: Path) -> None:
    result = reconcile("--spans", differing.file, "--csv", tmp_path / "nowhere" / "out.csv", "--no-audit")
    assert result.exit_code == 2
    assert "--csv" in result.output
    assert "cannot be written" in result.output


@pytest.mark.parametrize(("share", "code"), [("0", 1), ("2%", 1), ("3%", 0), ("0.03", 0)])
def test_the_tolerance_decides_the_exit_code(differing: Any, reconcile: Any, share: str, code: int) -> None:
    result = reconcile("--spans", differing.file, "--tolerance", share, "--no-audit")
    assert result.exit_code == code, "one of 42 calls is 2.4 %"
    if code == 0:
        assert "agree, within 0.03 of the ledger's sums (2 entries differ)" in result.output


@pytest.mark.parametrize("share", ["much", "-1%", "1e3"])
def test_a_tolerance_that_cannot_be_read(reconcile: Any, share: str) -> None:
    result = reconcile("--tolerance", share)
    assert result.exit_code == 2
    assert "expected a share such as 1% or 0.01" in result.output


def test_a_difference_is_recorded_in_the_audit_once(differing: Any, call: Any, reconcile: Any) -> None:
    first = reconcile("--spans", differing.file, "--since", "2026-01-01")
    assert "audit record 1 says so" in first.stderr
    again = reconcile("--spans", differing.file, "--since", "2026-02-01")
    assert "in the audit already" in again.stderr
    (record,) = differing.ledger.audit()
    told = json.loads(record.text)
    assert (told["kind"], told["severity"]) == ("discrepancy", "CRITICAL")
    assert told["differences"]["llm"]["operations"] == -1
    assert told["counts"]["missing_in_spans"] == 1
    differing.book(call(60))
    assert "audit record 2 says so" in reconcile("--spans", differing.file).stderr


def test_what_may_be_on_its_way_is_no_difference_unless_an_end_is_named(books: Any, call: Any, span: Any, reconcile: Any) -> None:
    just_now = time.time() - 5
    books.both(*(call(n) for n in range(3)), call(3, time=just_now))
    books.book(call(4, time=just_now))
    books.export(span(call(5, time=just_now)))
    result = reconcile("--spans", books.file)
    assert result.exit_code == 0, result.output
    assert "2 calls from" in result.output
    assert "are on one side only, and may be on their way to the other: they are left out." in result.output
    assert list(books.ledger.audit()) == []
    told = json.loads(reconcile("--spans", books.file, "--json").stdout)
    assert (told["pending"], told["kinds"], told["selection"]["until"]) == (2, {}, None)
    assert next(line for line in told["sums"] if line["quantity"] == "operations")["ledger"] == 4, "what both sides have is compared"
    strict = json.loads(reconcile("--spans", books.file, "--until", "now", "--no-audit", "--json").stdout)
    assert (strict["pending"], strict["kinds"]) == (0, {"missing_in_ledger": 1, "missing_in_spans": 1})


def test_what_is_lost_for_certain_is_a_difference_at_once(books: Any, call: Any, reconcile: Any) -> None:
    books.both(call(1))
    books.book(call(2, time=time.time() - 700))
    books.kill(call(3, time=time.time() - 400))
    told = json.loads(reconcile("--spans", books.file, "--no-audit", "--json").stdout)
    assert (told["pending"], told["kinds"]) == (0, {"missing_in_spans": 1, "unknown_in_ledger": 1})


def test_the_audit_record_is_sent_as_a_log_record_too(differing: Any, reconcile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        assert reconcile("--spans", differing.file).exit_code == 1
        server.shutdown()
        thread.join()
    (record,) = differing.ledger.audit()
    (request,) = map(ExportLogsServiceRequest.FromString, bodies)
    assert request.resource_logs[0].scope_logs[0].log_records[0].severity_text == "CRITICAL"
    assert record.hash in str(request)


@pytest.mark.parametrize("name", ["\x1b]0;title\x07", "\x9b2J", "[bold]x[/bold]", "[/]", "=HYPERLINK()"])
def test_names_that_others_sent_command_no_terminal_and_no_spreadsheet(
    books: Any, call: Any, span: Any, reconcile: Any, tmp_path: Path, name: str
) -> None:
    books.both(call(1))
    books.export(span(call(2)).but(service=name, a={s.ENTRY_ID: f"{name}2"}))
    books.book(call(3, service=name, execution=name))
    result = reconcile("--spans", books.file, "--until", "now", "--no-audit", "--csv", tmp_path / "out.csv")
    assert result.exit_code == 1, result.exception
    assert not set("\x07\x1b\x9b") & set(result.output)
    shown = name.encode("unicode_escape").decode()
    assert f"{shown}2" in result.output
    assert f"no call of service {shown} has" in result.output
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["service"].endswith(name)]
    assert [row["service"].startswith("=") for row in rows] == [False, False]


def test_a_narrow_terminal_cuts_no_number(books: Any, call: Any, reconcile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books.both(call(1))
    books.book(call(2, nano=123_456_789_012_345))
    for width in ("80", "60", "40"):
        monkeypatch.setenv("COLUMNS", width)
        assert "…" not in reconcile("--spans", books.file, "--until", "now", "--no-audit").output


def test_a_ledger_that_takes_no_audit_record(differing: Any, reconcile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        message = "it is read-only"
        raise LedgerError(message)

    monkeypatch.setattr(SqliteLedger, "append_audit", refuse)
    result = reconcile("--spans", differing.file)
    assert result.exit_code == 1
    assert "the difference is not in the audit: it is read-only" in result.stderr
    assert reconcile("--spans", differing.file, "--audit").exit_code == 2


def test_a_difference_in_a_ledger_with_older_tables_is_recorded_only_for_who_insists(differing: Any, reconcile: Any) -> None:
    differing.ledger.close()
    with closing(sqlite3.connect(differing.ledger.path, isolation_level=None)) as older:
        made_by_2 = older.execute(
            "SELECT type, name FROM sqlite_master WHERE type = 'trigger' OR name IN ('tally', 'identity', 'audit') ORDER BY type DESC"
        )
        for kind, name in made_by_2.fetchall():
            older.execute(f"DROP {kind} {name}")
        older.execute("PRAGMA user_version = 1")
        before = list(older.iterdump())
        result = reconcile("--spans", differing.file)
        assert result.exit_code == 1, result.output
        assert "the difference is not in the audit: the ledger" in result.stderr
        assert (list(older.iterdump()), older.execute("PRAGMA user_version").fetchone()) == (before, (1,))
        assert "audit record 1 says so" in reconcile("--spans", differing.file, "--audit").stderr
        assert older.execute("SELECT count(*) FROM audit").fetchone() == (1,)


def test_nothing_to_compare(books: Any, call: Any, reconcile: Any, tmp_path: Path) -> None:
    books.both(call(1))
    for arguments, words in (
        (("--spans", tmp_path / "nowhere"), "there is no such file or directory"),
        (("--spans", books.file, "--since", "2027-01-01"), "has no entries from 2027-01-01 00:00:00 UTC"),
        (("--spans", books.file, "--execution", "other"), "has no entries of execution other"),
        (("--execution", "run"), "the span table of"),
        (("--execution", "run", "--since", "today"), "no --since or --until"),
        (("--spans", books.file, "--since", "whenever"), "cannot read 'whenever'"),
    ):
        result = reconcile(*arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr
        assert result.stdout == ""


def store(books: Any, *spans: Any) -> None:
    """Into the ledger's own span table."""
    table = SpanStore(books.ledger.path)
    rows = [
        SpanRow(one.trace_id, one.span_id, None, "chat", "client", int(one.time * 1e9), int(one.time * 1e9), "unset", attributes=one.attributes,
                resource={"service.name": one.service, "service.instance.id": one.instance}) for one in spans
    ]  # fmt: skip
    table.save(rows)
    table.close()


def test_one_execution_right_after_its_run(books: Any, call: Any, span: Any, reconcile: Any) -> None:
    calls = [call(n) for n in range(1200)]  # more than a page of the table
    books.book(*calls)
    store(books, *map(span, calls))
    totals = {"llm": ActivityTotal(1200, sum(one.usage.input for one in calls), 120_000, sum(one.cost.nano_usd for one in calls))}
    books.ledger.end_execution(Execution("run", "answer", calls[0].time - 1, calls[-1].time + 1, "completed", totals=totals))
    result = reconcile("--execution", "run")
    assert result.exit_code == 0, result.output
    assert "What the run of answer added up itself agrees with the ledger" in result.output
    totals["llm"] = totals["llm"]._replace(calls=1201)
    books.ledger.end_execution(Execution("run", "answer", calls[0].time - 1, calls[-1].time + 1, "completed", totals=totals))
    result = reconcile("--execution", "run", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["disagreements"] == 0
    assert told["execution"]["agrees"] is False
    assert told["execution"]["sums"][0] == {"activity": "llm", "quantity": "calls", "ledger": 1200, "execution": 1201, "difference": 1}


def test_processes_on_one_execution_and_trace_are_told_apart_by_spans(books: Any, call: Any, span: Any, reconcile: Any) -> None:
    calls = [call(n, trace_id="a" * 32) for n in range(3)]
    books.book(*calls)
    store(books, span(calls[0]), span(calls[1]), span(calls[2], instance="two"))
    for own, code in ((calls[2:], 0), (calls[:2], 0), (calls[1:], 1)):
        input_, nano = sum(one.usage.input for one in own), sum(one.cost.nano_usd for one in own)
        totals = {"llm": ActivityTotal(len(own), input_, 100 * len(own), nano)}
        books.ledger.end_execution(Execution("run", "answer", calls[0].time - 1, calls[2].time + 1, "completed", totals=totals))
        result = reconcile("--execution", "run", "--no-audit")
        assert result.exit_code == code, result.output
        assert ("made by others who work on the same execution" in result.output) is (code == 0)


def test_an_execution_that_was_not_recorded_is_compared_with_its_spans(books: Any, call: Any, span: Any, reconcile: Any) -> None:
    books.book(call(1), call(2))
    store(books, span(call(1)), span(call(2)))
    result = reconcile("--execution", "run", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["execution"] is None


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The span files of ``books`` are those that the stack keeps."""
    monkeypatch.setenv("SPANLEDGER_STACK_DIR", str(tmp_path))


def test_without_a_stack_the_spans_are_those_in_the_ledger(
    books: Any, call: Any, span: Any, reconcile: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    books.book(call(1))
    store(books, span(call(1)))
    assert reconcile("--no-audit").exit_code == 0
    empty = tmp_path / "unused" / "spans" / "spans.jsonl"
    empty.parent.mkdir(parents=True)
    empty.touch()
    monkeypatch.setenv("SPANLEDGER_STACK_DIR", str(tmp_path / "unused"))
    told = json.loads(reconcile("--no-audit", "--json").stdout)
    assert told["agrees"]
    assert told["sources"]["spans"]["where"] == [f"the span table of the ledger {books.url}"], "nobody has sent to that stack"


@pytest.mark.usefixtures("stack")
def test_what_the_stack_keeps_and_what_is_in_the_ledger_is_the_default(books: Any, call: Any, span: Any, reconcile: Any) -> None:
    """A service sends to the stack, and beside it a script runs by ``spanledger run``."""
    books.both(call(1), call(2))
    told = json.loads(reconcile("--json").stdout)
    assert (told["agrees"], told["sources"]["spans"]["where"]) == (True, [str(books.file)])
    books.book(call(3), call(4))
    store(books, span(call(3)), span(call(4)))
    for arguments in ((), ("--execution", "run"), ("--since", "2026-09-01")):
        result = reconcile("--json", *arguments)
        assert result.exit_code == 0, result.output
        sources = json.loads(result.stdout)["sources"]
        assert (sources["ledger"]["entries"], sources["spans"]["spans"]) == (4, 4)
        assert sources["spans"]["where"] == [str(books.file), f"the span table of the ledger {books.url}"]
    assert reconcile("--spans", books.file, "--no-audit").exit_code == 1, "who names a place is told of that place"


@pytest.mark.usefixtures("stack")
def test_a_span_in_both_places_is_one_that_came_once(books: Any, call: Any, span: Any, reconcile: Any) -> None:
    books.both(call(1), call(2), call(3))
    store(books, span(call(1)), span(call(2)).but(a={s.COST_NANO_USD: 1}), span(call(3)).but(span_id="f" * 16))
    told = json.loads(reconcile("--json", "--no-audit").stdout)
    assert told["kinds"] == {"doubled": 1}, "what came through the collectors is compared; another span is another span"
    assert [one["entry_id"] for one in told["differences"]] == [call(3).id]
    assert told["delivered"] == []


@pytest.fixture
def gateway(books: Any, call: Any, span: Any) -> Any:
    """Two services send to one gateway; billing keeps its books in another ledger."""
    books.both(call(1), call(2))
    books.export(*(span(call(n, service="billing")) for n in (3, 4, 5)))
    return books


def test_a_service_that_keeps_its_books_elsewhere_is_counted_only(gateway: Any, reconcile: Any) -> None:
    result = reconcile("--spans", gateway.file)
    assert result.exit_code == 0, result.output
    assert "3 calls of service billing have spans here, but the service keeps its books elsewhere: they are left out." in result.output
    assert list(gateway.ledger.audit()) == []
    told = json.loads(reconcile("--spans", gateway.file, "--json", "--execution", "run").stdout)
    assert (told["agrees"], told["elsewhere"], told["pending"]) == (True, {"billing": 3}, 0)
    assert (told["sources"]["spans"]["spans"], told["sums"][0]["spans"]) == (2, 2)


def test_a_service_that_is_named_has_to_have_its_books_here(gateway: Any, reconcile: Any) -> None:
    for names in (("billing",), ("app", "billing")):
        result = reconcile("--spans", gateway.file, "--json", *(word for name in names for word in ("--service", name)))
        assert result.exit_code == 1, result.output
        told = json.loads(result.stdout)
        assert (told["kinds"], told["elsewhere"]) == ({"missing_in_ledger": 3}, {})
        assert told["sources"]["ledger"]["entries"] == 2 * names.count("app")
    assert json.loads(next(iter(gateway.ledger.audit())).text)["scope"]["services"] == ["billing"]
    assert reconcile("--spans", gateway.file, "--service", "app").exit_code == 0
    assert "has no entries of service other of all time" in reconcile("--spans", gateway.file, "--service", "other").stderr


def test_a_service_of_this_ledger_is_missed_whenever_it_had_an_entry(
    gateway: Any, call: Any, span: Any, reconcile: Any, tmp_path: Path
) -> None:
    """Before the time that is asked about, in entries that were deleted since, or in a settlement that still waits; so is one without a name."""
    gateway.book(call(-1_000_000, id="early", service="early"), call(6, service="cut"))
    with closing(sqlite3.connect(gateway.ledger.path)) as db, db:
        db.execute("DELETE FROM entry WHERE service = 'cut'")
    Folder(tmp_path / "state" / "spanledger", gateway.url).write([Settlement(call(7, service="waits"), [])])
    names = ("early", "cut", "waits", None)
    gateway.export(*(span(call(10 + n, service=name)) for n, name in enumerate(names)))
    told = json.loads(reconcile("--spans", gateway.file, "--json", "--no-audit", "--since", "2026-09-20").stdout)
    assert [one["spans"][0]["service"] for one in told["differences"]] == list(names)
    assert told["elsewhere"] == {"billing": 3}


def test_a_service_that_is_called_otherwise_on_its_way_is_known_by_its_entries(books: Any, call: Any, span: Any, reconcile: Any) -> None:
    books.both(call(1))
    books.book(call(2))
    books.export(span(call(2)).but(service="renamed"), span(call(3)).but(service="renamed"))
    told = json.loads(reconcile("--spans", books.file, "--json", "--no-audit").stdout)
    assert (told["kinds"], told["elsewhere"]) == ({"missing_in_ledger": 1}, {})


def test_a_settlement_that_waits_in_a_spill_file_is_the_reason(books: Any, call: Any, span: Any, reconcile: Any, tmp_path: Path) -> None:
    books.both(call(1))
    books.kill(call(2))
    books.export(span(call(2)), span(call(3)), span(call(4)))
    Folder(tmp_path / "state" / "spanledger", books.url).write([Settlement(call(2), []), Settlement(call(3), [])])
    told = json.loads(reconcile("--spans", books.file, "--json", "--no-audit").stdout)
    reasons = {one["entry_id"]: "waits in a spill file" in one["reason"] for one in told["differences"]}
    assert reasons == {call(2).id: True, call(3).id: True, call(4).id: False}


def test_nothing_is_left_behind(books: Any, call: Any, reconcile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    books.both(call(1))
    assert reconcile("--spans", books.file).exit_code == 0
    assert reconcile("--spans", books.file, "--execution", "other").exit_code == 2
    assert list(scratch.iterdir()) == []
