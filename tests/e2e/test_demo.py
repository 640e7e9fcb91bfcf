"""The demo as a person runs it: both examples under opentelemetry-instrument, real clients, then the books."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spanledger.ledger.open import open_ledger
from spanledger.ledger.spans import SpanStore
from spanledger.model import Activity, State
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from spanledger.model import Entry

EMAIL = "ada.lovelace@example.com"


class Demo:
    """What one run of the demo printed and left."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.path = folder / "ledger.db"
        command = [sys.executable, str(root / "examples" / "demo.py"), "--ledger", str(self.path)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env={**environment, "COLUMNS": "140"})
        assert done.returncode == 0, done.stdout + done.stderr
        self.printed, self.errors = done.stdout, done.stderr
        self.entries: list[Entry] = list(open_ledger(f"sqlite:///{self.path}").entries())
        self.spans = SpanStore(self.path).trace("")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(Path(__file__).parents[2], tmp_path_factory.mktemp("demo"))


def test_every_call_is_in_the_books_once(demo: Demo) -> None:
    zero_code = [entry for entry in demo.entries if entry.workflow is None]
    agent = [entry for entry in demo.entries if entry.workflow == "answer-ticket"]

    # zero_code.py: a chat, two streams, a mail. agent.py, for each of two customers: classify, remember, three facts, two asks and a tool,
    # two attempts to summarise, a reply.
    assert len(zero_code) == 4
    assert len(agent) == 2 * 11
    assert len({entry.span_id for entry in demo.entries}) == len(demo.entries)


def test_the_refused_call_was_never_sent(demo: Demo) -> None:
    assert "BudgetExceeded: budget DAY refused this call: limit 0.050000 USD" in demo.printed
    assert "The provider got 3 requests, 0 of them for claude-opus-4-1: the refused call was never sent." in demo.printed
    assert not [entry for entry in demo.entries if entry.model == "claude-opus-4-1"]
    (refused,) = [span for span in demo.spans if span.attributes.get(s.REQUEST_MODEL) == "claude-opus-4-1"]
    assert refused.attributes[s.ERROR_TYPE] == "BudgetExceeded"


def test_the_e_mail_address_was_masked_before_it_was_stored(demo: Demo) -> None:
    contents = [span.attributes[s.INPUT_MESSAGES] for span in demo.spans if s.INPUT_MESSAGES in span.attributes]

    assert any("[EMAIL]" in content for content in contents)
    assert "[EMAIL]" in demo.printed.split("$ spanledger trace")[1].split("$ opentelemetry-instrument")[0]
    stored = json.dumps([[span.attributes, span.events, span.status_message] for span in demo.spans])
    assert EMAIL not in stored
    assert EMAIL.encode() not in demo.path.read_bytes()


def test_content_is_recorded_only_where_it_was_asked_for(demo: Demo) -> None:
    recorded = {span.trace_id for span in demo.spans if s.INPUT_MESSAGES in span.attributes or s.OUTPUT_MESSAGES in span.attributes}
    agent = {entry.trace_id for entry in demo.entries if entry.workflow == "answer-ticket"}

    assert recorded
    assert not recorded & agent


def test_usage_is_what_the_provider_said(demo: Demo) -> None:
    whole = [entry for entry in demo.entries if entry.activity is not Activity.PLUGIN and entry.step not in ("reply", None)]

    assert whole
    assert all(entry.usage.state is State.EXACT for entry in whole)
    cut = [entry for entry in demo.entries if entry.usage.state is State.ESTIMATED]
    assert {entry.step for entry in cut} == {None, "reply"}  # a stream that was not asked for usage, and the one that was left
    assert all(entry.usage.output for entry in cut)


def test_every_call_has_a_price(demo: Demo) -> None:
    assert not [entry.model for entry in demo.entries if entry.cost.nano_usd is None]


def test_a_retried_step_is_consumed_twice_and_billable_once(demo: Demo) -> None:
    attempts = [(entry.attempt, entry.superseded) for entry in demo.entries if entry.step == "summarise"]

    assert sorted(attempts) == [(1, True), (1, True), (2, False), (2, False)]
    total = json.loads(_report(demo, "--json"))["total"]
    assert total["consumed"]["calls"] - total["billable"]["calls"] == 2


def test_activities_and_customers(demo: Demo) -> None:
    agent = [entry for entry in demo.entries if entry.workflow == "answer-ticket"]

    assert {entry.activity for entry in agent} == {Activity.LLM, Activity.PLUGIN, Activity.CLASSIFICATION, Activity.MEMORY}
    assert {entry.keys["customer"] for entry in agent} == {"acme", "globex"}
    assert len({entry.execution for entry in agent}) == 2


def test_what_is_printed_last(demo: Demo) -> None:
    trace, budgets = demo.printed.split("$ spanledger trace")[-1].split("$ spanledger budgets")

    assert all(f"step {name}" in trace for name in ("classify", "research-1", "summarise", "reply"))
    assert "superseded" in trace
    assert all(name in budgets for name in ("DAY", "RUN", "CUSTOMER", "customer=acme", "customer=globex"))
    assert "nothing booked to this budget yet" not in budgets
    assert "Traceback" not in demo.errors


def _report(demo: Demo, *arguments: str) -> str:
    command = [sys.executable, "-m", "spanledger.cli", "report", "--ledger", f"sqlite:///{demo.path}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
