"""Books and spans of the same calls: entries in a real ledger, spans as the collector's file exporter writes them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, State, Usage
from spanledger.reconcile import files
from spanledger.reconcile.compare import Selection
from spanledger.reconcile.difference import difference_json
from spanledger.reconcile.run import Reconciliation, Sources
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger

NOON = 1_790_000_000.0
PRICE = "0.2.3"


@dataclass(frozen=True)
class Span:
    """A span as the collector writes it; ``attributes`` are plain values."""

    trace_id: str
    span_id: str
    time: float
    attributes: dict[str, Any]
    service: str | None = "app"
    instance: str | None = "one"

    def json(self) -> dict[str, Any]:
        start = str(int(self.time * 1e9))
        return {
            "traceId": self.trace_id, "spanId": self.span_id, "name": "chat", "kind": 3, "startTimeUnixNano": start, "endTimeUnixNano": start,
            "attributes": pairs(self.attributes), "status": {},
        }  # fmt: skip

    def but(self, **changes: Any) -> Span:
        """Another span: fields by their names, attributes as ``a={name: value}`` (None removes one)."""
        attributes = {**self.attributes, **changes.pop("a", {})}
        return replace(self, attributes={name: value for name, value in attributes.items() if value is not None}, **changes)


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": message(value)} for name, value in attributes.items()]


def message(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [message(item) for item in value]}}
    return {"stringValue": value}


def request(spans: Iterable[Span]) -> bytes:
    """One line: an ExportTraceServiceRequest, spans of the same process together."""
    groups: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for span in spans:
        groups.setdefault((span.service, span.instance), []).append(span.json())
    parts = [
        {"resource": {"attributes": pairs(resource(*names))}, "scopeSpans": [{"scope": {"name": "spanledger"}, "spans": group}]}
        for names, group in groups.items()
    ]
    return json.dumps({"resourceSpans": parts}, separators=(",", ":")).encode() + b"\n"


def resource(service: str | None, instance: str | None) -> dict[str, str]:
    named = {"service.name": service, "service.instance.id": instance}
    return {name: value for name, value in named.items() if value is not None}


def make_call(number: int, **fields: Any) -> Entry:
    """An entry like many: ``make_call(7, state="estimated", input=10, output=3, nano=..., any field of Entry)``."""
    state = State(fields.pop("state", "exact"))
    usage = Usage(fields.pop("input", 1000 + number), fields.pop("output", 100), cache_read=60, cache_write=5, reasoning=30, state=state)
    nano = fields.pop("nano", 10_000 + number)
    cost = Cost(nano, CostStatus.UNPRICED if nano is None else CostStatus.EXACT, "genai-prices", PRICE, "openai/gpt-5")
    values: dict[str, Any] = {
        "time": NOON + number, "activity": Activity.LLM, "provider": "openai", "operation": "chat", "model": "gpt-5", "service": "app",
        "trace_id": f"{number:032x}", "span_id": f"{number:016x}", "execution": "run", "usage": usage, "cost": cost, "duration": 0.5,
    }  # fmt: skip
    return Entry(fields.pop("id", f"entry-{number:05d}"), **(values | fields))


def span_of(entry: Entry, **changes: Any) -> Span:
    """The span that the engine makes of a call."""
    usage, cost = entry.usage, entry.cost
    attributes: dict[str, Any] = {
        s.OPERATION: entry.operation, s.ENTRY_ID: entry.id, s.COUNTED: True, s.ACTIVITY: entry.activity.value, s.USAGE_STATE: usage.state.value,
        s.EXECUTION_ID: entry.execution, s.FINISH_REASONS: ["stop"], s.COST_STATUS: cost.status.value, s.COST_NANO_USD: cost.nano_usd,
        s.PRICE_SOURCE: cost.source, s.PRICE_VERSION: cost.version, s.PRICE_MODEL: cost.model,
    }  # fmt: skip
    if entry.plugin is not None:
        attributes[s.PLUGIN_TOKENS] = usage.total
    elif usage.state is not State.UNKNOWN:
        written = (usage.cache_write or 0) + (usage.cache_write_1h or 0)
        attributes |= {
            s.INPUT_TOKENS: usage.input, s.OUTPUT_TOKENS: usage.output, s.CACHE_READ_TOKENS: usage.cache_read,
            s.DEFAULT.cache_write_tokens: written, s.REASONING_TOKENS: usage.reasoning,
        }  # fmt: skip
    span = Span(entry.trace_id or "0" * 32, entry.span_id or "0" * 16, entry.time + 0.002, attributes, entry.service)
    return span.but(**changes)


@dataclass
class Books:
    """A ledger and span files beside it."""

    folder: Path
    ledger: SqliteLedger

    @property
    def url(self) -> str:
        return f"sqlite:///{self.ledger.path}"

    @property
    def file(self) -> Path:
        return self.folder / "spans" / "spans.jsonl"

    def book(self, *entries: Entry) -> None:
        """Settles entries."""
        for entry in entries:
            self.ledger.settle(entry, ())

    def kill(self, entry: Entry) -> None:
        """Reserves a call that nobody settles, and sweeps it."""
        self.ledger.reserve(replace(entry, duration=None), (), expires=0.0)
        self.ledger.sweep(1.0)

    def export(self, *spans: Span, per_line: int = 10) -> None:
        """Writes spans behind what is in the file."""
        self.write(b"".join(request(spans[start : start + per_line]) for start in range(0, len(spans), per_line)))

    def write(self, text: bytes) -> None:
        self.file.parent.mkdir(exist_ok=True)
        with self.file.open("ab") as file:
            file.write(text)

    def both(self, *entries: Entry) -> None:
        """Entries and their spans."""
        self.book(*entries)
        self.export(*map(span_of, entries))

    def compare(self, ledger: Ledger | None = None, *, workers: int = 1, **selection: Any) -> Found:
        """Ledger against the span file."""
        sources = Sources(ledger or self.ledger, "the ledger", files.find([self.file.parent]))
        return found(sources, Selection(**selection), workers)


@dataclass
class Found:
    """A result and its differences, by entry id."""

    result: Any
    differences: dict[str, dict[str, Any]]
    agrees: bool
    lines: dict[tuple[str, str], tuple[int, int]]
    reasons: list[dict[str, Any]]

    @property
    def kinds(self) -> dict[str, list[str]]:
        return {id_: one["kinds"] for id_, one in self.differences.items()}

    def reason(self, entry: Entry) -> str:
        return str(self.differences[entry.id]["reason"])


def found(sources: Sources, selection: Selection, workers: int) -> Found:
    with Reconciliation(sources, selection, workers=workers) as work:
        result = work.result()
        listed = [difference_json(one) for one in result.comparison.differences.by_time()]
        assert len({one["entry_id"] for one in listed}) == len(listed), "an entry is listed once"
        lines = {(line.activity, line.quantity): (line.ledger, line.other) for line in result.lines}
        return Found(result, {one["entry_id"]: one for one in listed}, result.agrees(), lines, result.reasons)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path, SqliteLedger(tmp_path / "ledger.db"))
    yield made
    made.ledger.close()


@pytest.fixture
def call() -> Any:
    return make_call


@pytest.fixture
def span() -> Any:
    return span_of


@pytest.fixture
def line() -> Any:
    return request


@pytest.fixture
def compared() -> Any:
    return found


@pytest.fixture
def new_books(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Books of their own for each example of a property."""

    def make() -> Books:
        folder = tmp_path_factory.mktemp("books")
        return Books(folder, SqliteLedger(folder / "ledger.db"))

    return make


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of ours from outside; the user's state is in the test's own folder."""
    for name in list(os.environ):
        if name.startswith(("SPANLEDGER_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
