"""``SPANLEDGER_RECONCILE=execution``: a run compares itself with the ledger when it ends."""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import Any

import spanledger
from spanledger.engine import drive
from spanledger.engine.adapter import Reader, Target
from spanledger.model import Activity, Request, Usage


def call() -> None:
    def response(_result: Any, into: Any) -> None:
        into.usage = Usage(1000, 500)

    request = Request("chat", Activity.LLM, "openai", "gpt-4o-mini", max_output=5, content="x")
    drive.wrap(lambda **_: "answer", "fake", Target("", "create", Reader(lambda *_: request, response, lambda *_: None)))()


def test_a_run_that_agrees_writes_nothing(make_house: Any, caplog: Any) -> None:
    house = make_house(SPANLEDGER_RECONCILE="execution")
    with spanledger.workflow("report"), spanledger.step("draft"):
        call()
    house.settle()
    assert list(house.runtime.ledger.audit()) == []
    assert caplog.records == []


def test_an_entry_that_is_missing_is_said_and_audited(make_house: Any, tmp_path: Any, caplog: Any) -> None:
    house = make_house(SPANLEDGER_RECONCILE="execution", SPANLEDGER_LEDGER=f"sqlite:///{tmp_path}/ledger.db")
    with caplog.at_level(logging.WARNING), spanledger.workflow("report") as run:
        call()
        call()
        house.settle()
        with sqlite3.connect(tmp_path / "ledger.db") as db:
            db.execute("DELETE FROM entry WHERE rowid = 1")
        db.close()
    house.settle()
    (record,) = house.runtime.ledger.audit()
    said = json.loads(record.text)
    assert said["scope"] == {"execution": run.execution_id}
    assert said["severity"] == "CRITICAL"
    assert said["differences"]["llm"] == {"calls": 1, "input_tokens": 1000, "output_tokens": 500, "nano_usd": 450_000}
    (event,) = [event for event in house.log_events() if event.event_name == "spanledger.audit"]
    assert event.attributes["spanledger.execution.id"] == run.execution_id
    assert event.severity_number.name == "FATAL"
    assert "the run's own sums differ from the ledger's" in caplog.text
