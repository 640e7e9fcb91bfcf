"""Faults, planted one by one into a real run: which alarm or which line of ``spanledger reconcile`` finds it, and whether it names the entries.

When an alarm over a window fires is tested with simulated time, in collector/rules/spanledger.tests.yaml.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, State, Usage

from .slow_link import SlowLink

pytestmark = [pytest.mark.stack, pytest.mark.slow]
FAULTS = Path(__file__).parent / "faults"


@pytest.fixture(scope="module")
def shared(make_views: Any) -> Any:
    """One stack for all faults; each test has a ledger and a folder of spans of its own."""
    return make_views()


@pytest.fixture
def views(shared: Any, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The stack with an empty ledger, and a service name of this test's own."""
    shared.ledger_path = tmp_path / "ledger.db"
    shared.service = request.node.name
    return shared


def run(views: Any, *program: str, **environ: str) -> str:
    return views.run(*program, OTEL_SERVICE_NAME=views.service, **environ)


def reconcile(views: Any) -> dict[str, Any]:
    """The command's JSON. Only this test's entries and spans: spans of the other tests are of other services and other ledgers."""
    all_of_time = ("--until", "2100-01-01")  # nothing is on its way any more, not even for a clock that is ahead
    result = views.command("reconcile", *all_of_time, "--spans", str(views.directory / "stack" / "spans"), "--json")
    found = json.loads(result.stdout) if result.stdout else pytest.fail(result.stderr)
    mine = [one for one in found["differences"] if (one["ledger"] or one["spans"][0])["service"] == views.service]
    found["mine"] = {kind: [one for one in mine if kind in one["kinds"]] for kind in {kind for one in mine for kind in one["kinds"]}}
    found["exit"] = result.returncode
    return found


def entries(views: Any) -> list[Entry]:
    ledger = SqliteLedger(views.ledger_path)
    found = list(ledger.entries())
    ledger.close()
    return found


def arrived(views: Any) -> set[str]:
    """Entry ids of this service's counted spans in the file."""
    mine = {entry.id for entry in entries(views)}
    return {span["attributes"].get("spanledger.entry.id") for span in views.spans() if span["attributes"].get("spanledger.counted")} & mine


def everything_arrived(views: Any, count: int) -> bool:
    return views.until(lambda: len(arrived(views)) >= count, 60)


def test_spans_dropped_by_a_full_queue(views: Any) -> None:
    with SlowLink(views.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]) as link:
        process = views.start(
            "traffic.py", "--calls", "300", OTEL_SERVICE_NAME=views.service, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=link.url,
            OTEL_BSP_MAX_QUEUE_SIZE="6", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="6",
        )  # fmt: skip
        # The queue holds 6, the exporter 6 more: of 60 calls most must go.
        assert views.until(lambda: views.ledger_path.exists() and len(entries(views)) > 60, 60)
        link.released.set()
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    began = time.monotonic()
    dropped = f'sum(otel_sdk_processor_span_processed_total{{error_type="queue_full",service_name="{views.service}"}})'
    alert = f'ALERTS{{alertname="SpanledgerSpansDropped",alertstate="firing",service_name="{views.service}"}}'
    assert views.until(lambda: bool(views.query(alert)), 120), views.query(dropped)
    print(f"\nSpanledgerSpansDropped fired after {time.monotonic() - began:.0f} s: {views.query(dropped)[0]['value'][1]} spans")
    lost = {entry.id for entry in entries(views)} - arrived(views)
    assert len(lost) >= 60 - 12
    found = reconcile(views)
    assert found["exit"] == 1
    assert {one["entry_id"] for one in found["mine"]["missing_in_spans"]} == lost, "every lost entry is named, and no other"
    print(f"reconcile names {len(lost)} of {len(entries(views))} entries: {found['mine']['missing_in_spans'][0]['reason']}")
    ledger = SqliteLedger(views.audit_path)
    assert views.until(
        lambda: any(views.service in record.text and "SpanledgerSpansDropped" in record.text for record in ledger.audit()), 90
    )
    ledger.close()


def test_a_second_instrumentation(views: Any) -> None:
    run(views, str(FAULTS / "double_instrumentation.py"), "traffic.py", "--calls", "100")
    count = len(entries(views))
    assert everything_arrived(views, count)
    found = reconcile(views)
    assert len(found["mine"]["doubled"]) == count
    assert "a second instrumentation" in found["mine"]["doubled"][0]["reason"]
    sums = f'sum by (source) (spanledger_recon_operations_total{{service_name="{views.service}"}})'
    assert views.until(lambda: _by_source(views, sums).get("span") == 2 * count, 60), views.query(sums)
    assert _by_source(views, sums)["sdk"] == count


def _by_source(views: Any, expression: str) -> dict[str, int]:
    return {row["metric"]["source"]: int(row["value"][1]) for row in views.query(expression)}


def test_a_killed_application(views: Any) -> None:
    process = views.start(
        "traffic.py", "--calls", "5000", OTEL_SERVICE_NAME=views.service, SPANLEDGER_LEASE_SECONDS="2", OTEL_BSP_SCHEDULE_DELAY="20000",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="32",
    )  # fmt: skip
    assert views.until(lambda: views.ledger_path.exists() and len(entries(views)) > 60 and bool(arrived(views)), 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {entry.id for entry in entries(views)}
    ledger = SqliteLedger(views.ledger_path)
    assert views.until(lambda: bool(ledger.sweep(time.time())) or not ledger.open_leases(), 30)
    ledger.close()
    swept = {entry.id for entry in entries(views)} - before
    found = reconcile(views)
    named = {one["entry_id"] for kind in ("missing_in_spans", "unknown_in_ledger") for one in found["mine"].get(kind, [])}
    assert named == {entry.id for entry in entries(views)} - arrived(views)
    assert swept <= named
    reasons = {one["entry_id"]: one["reason"] for ones in found["mine"].values() for one in ones}
    assert all("killed" in reasons[entry] for entry in swept)
    print(f"\n{len(before)} entries settled before the kill, {len(swept)} swept as unknown; {len(named)} named as without a span")


def test_a_forked_worker_counts_nothing_twice(views: Any) -> None:
    run(views, str(FAULTS / "forked_worker.py"))
    assert len(entries(views)) == 32
    assert everything_arrived(views, 32)
    assert reconcile(views)["mine"] == {}
    sums = f'sum by (source) (max_over_time(spanledger_recon_operations_total{{service_name="{views.service}",source!="ledger"}}[1h]))'
    assert views.until(lambda: _by_source(views, sums) == dict.fromkeys(("span", "sdk", "execution"), 32), 60), views.query(sums)


def test_a_clock_a_minute_ahead(views: Any) -> None:
    began = time.time()
    run(views, str(FAULTS / "skewed_clock.py"), "traffic.py", "--calls", "60")
    count = len(entries(views))
    assert min(entry.time for entry in entries(views)) > began + 50, "the clock was ahead"
    assert everything_arrived(views, count)
    assert reconcile(views)["mine"] == {}, "ids decide, not times"
    sums = f'sum by (source) (max_over_time(spanledger_recon_operations_total{{service_name="{views.service}"}}[1h]))'
    assert views.until(lambda: set(_by_source(views, sums).values()) == {count}, 90), views.query(sums)


def test_a_call_that_is_only_in_the_ledger(views: Any) -> None:
    run(views, "traffic.py", "--calls", "40")
    assert everything_arrived(views, len(entries(views)))
    ledger = SqliteLedger(views.ledger_path)
    cost, usage = Cost(123, CostStatus.EXACT), Usage(1000, 10)
    ledger.settle(
        Entry("by-passed", time.time(), Activity.LLM, "openai", "chat", "gpt-4o", service=views.service, usage=usage, cost=cost), []
    )
    ledger.close()
    found = reconcile(views)
    assert [one["entry_id"] for one in found["mine"]["missing_in_spans"]] == ["by-passed"]
    assert found["mine"].keys() == {"missing_in_spans"}
    (line,) = [line for line in found["sums"] if (line["activity"], line["quantity"]) == ("llm", "input")]
    assert line["ledger"] >= 1000
    records = list(SqliteLedger(views.ledger_path).audit())
    assert [json.loads(record.text)["kind"] for record in records] == ["discrepancy"]


def test_a_wrong_price_on_one_side(views: Any) -> None:
    run(views, "traffic.py", "--calls", "40")
    assert everything_arrived(views, len(entries(views)))
    with sqlite3.connect(views.ledger_path) as db:
        db.execute("UPDATE entry SET nano_usd = nano_usd * 2, price_version = 'wrong' WHERE model = 'claude-sonnet-5'")
        wrong = {id_ for (id_,) in db.execute("SELECT id FROM entry WHERE model = 'claude-sonnet-5'")}
    db.close()
    found = reconcile(views)
    assert wrong
    assert {one["entry_id"] for one in found["mine"]["cost_differs"]} == wrong
    assert found["mine"].keys() == {"cost_differs"}
    assert "a price was changed" in found["mine"]["cost_differs"][0]["reason"]


def test_without_a_fault_nothing_is_said(views: Any) -> None:
    run(views, "traffic.py", "--calls", "60")
    assert everything_arrived(views, len(entries(views)))
    assert reconcile(views)["mine"] == {}
    assert all(entry.usage.state in set(State) for entry in entries(views))
