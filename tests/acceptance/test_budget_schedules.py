"""Any schedule of calls under any budgets, through the whole engine: the budgets hold and the books agree with them.

Calls of random sizes succeed, fail, or are streams that are read a bit, closed, dropped or left; several threads at once, too.
"""

from __future__ import annotations

import gc
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider

import spanledger
from spanledger import install, settings
from spanledger.engine.runtime import active

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spanledger.model import Entry

TRACER_PROVIDER = TracerProvider(shutdown_on_exit=False)
TEMPLATES = (
    "{} per month",
    "{} per customer per month",
    "{} per month for customer=acme",
    "{} per model per day",
    "{} per month, warn at 50%",
)
LIMITS = {"tokens": st.integers(0, 4000), "calls": st.integers(0, 15), "USD": st.integers(0, 3_000).map(lambda micro: f"{micro / 1e6:.6f}")}


@dataclass(frozen=True)
class Step:
    """One thing that the application does."""

    kind: str
    customer: str
    usage: tuple[int, int]
    """Input and output tokens; the output is also the request's own bound."""
    pieces: int
    """How many pieces of a stream are read."""


budgets = st.lists(
    st.tuples(st.sampled_from(sorted(LIMITS)), st.sampled_from(TEMPLATES)).flatmap(
        lambda pair: LIMITS[pair[0]].map(lambda limit: pair[1].format(f"{limit} {pair[0]}"))
    ),
    min_size=1,
    max_size=3,
)
steps = st.builds(
    Step,
    st.sampled_from(["ask", "ask", "fail", "open", "read", "close", "drop"]),
    st.sampled_from(["acme", "globex"]),
    st.tuples(st.integers(0, 400), st.integers(10, 300)),  # a stream's text is up to 6 tokens, so actual stays within the estimate
    st.integers(0, 5),
)
schedules = st.lists(steps, min_size=3, max_size=30)


class Player:
    """One thread of the application."""

    def __init__(self, module: Any) -> None:
        self.client, self.error = module.Client(), module.ProviderError
        self.asked = self.refused = self.sent_while_refused = 0
        self._streams: list[Any] = []

    def play(self, step: Step) -> None:
        if step.kind in ("read", "close", "drop"):
            self._use_a_stream(step)
            return
        self.asked += 1
        sent = self.client.sent
        try:
            with spanledger.scope(customer=step.customer):
                self._call(step)
        except spanledger.BudgetExceeded:
            self.refused += 1
            self.sent_while_refused += self.client.sent - sent

    def _call(self, step: Step) -> None:
        if step.kind == "open":
            self._streams.append(self.client.stream(usage=step.usage, streams=True))
            return
        try:
            assert self.client.ask(usage=step.usage, fail=step.kind == "fail").text == "hello"
        except self.error:
            assert step.kind == "fail"

    def _use_a_stream(self, step: Step) -> None:
        if not self._streams:
            return
        if step.kind == "read":
            for _ in range(step.pieces):
                next(self._streams[-1], None)
        else:
            stream = self._streams.pop()
            if step.kind == "close":
                stream.close()

    def leave(self) -> None:
        """The application forgets what is open."""
        self._streams.clear()


def charge(unit: str, entry: Entry) -> int:
    return {"calls": 1, "tokens": entry.usage.total, "usd": entry.cost.nano_usd or 0}[unit]


def matches(text: str, scope: str, entry: Entry) -> bool:
    """Whether an entry is booked to the account of this scope, of a budget with this text."""
    if "customer=acme" in text:
        return entry.keys.get("customer") == "acme"
    if "per customer" in text:
        return scope == f"customer={entry.keys.get('customer')}"
    return True


class Watch(threading.Thread):
    """Looks at the accounts until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done, self.broken = threading.Event(), []

    def look(self) -> None:
        runtime = active()
        assert runtime is not None
        self.broken += [b for b in runtime.ledger.balances(time.time()) if b.blocking and b.spent + b.reserved > b.limit]

    def run(self) -> None:
        while not self.done.wait(0.001):
            self.look()


def play(module: Any, url: str, texts: list[str], schedule: list[Step], threads: int) -> None:
    """Plays the schedule and checks everything that must hold."""
    environ = {f"SPANLEDGER_BUDGET_B{n}": text for n, text in enumerate(texts)}
    config = settings.load({"SPANLEDGER_LEDGER": url, "SPANLEDGER_DEBUG": "true", "HOME": "/nonexistent", **environ})
    assert config.problems == ()
    adapter = make_adapter(module)
    spanledger.instrument(config, tracer_provider=TRACER_PROVIDER, meter_provider=NoOpMeterProvider(), adapters=[adapter])
    try:
        players, watch = [Player(module) for _ in range(threads)], Watch()
        if threads == 1:
            for step in schedule:
                players[0].play(step)
                watch.look()
        else:
            watch.start()
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda n: [players[n].play(step) for step in schedule[n::threads]], range(threads)))
            watch.done.set()
            watch.join()
        for player in players:
            player.leave()
        gc.collect()
        assert install.flush(10.0)
        check(texts, players, watch)
    finally:
        spanledger.uninstrument()


def check(texts: list[str], players: list[Player], watch: Watch) -> None:
    runtime = active()
    assert runtime is not None
    entries = list(runtime.ledger.entries())
    sent = sum(player.client.sent for player in players)
    asked, refused = sum(player.asked for player in players), sum(player.refused for player in players)
    note(f"{asked} asked, {refused} refused, {len(entries)} entries")

    assert watch.broken == []
    assert sum(player.sent_while_refused for player in players) == 0
    assert sent == asked - refused == len(entries)
    assert runtime.ledger.open_leases() == 0
    assert runtime.open_calls == {}
    for balance in runtime.ledger.balances(time.time()):
        text = texts[int(balance.budget.removeprefix("B"))]
        assert balance.reserved == 0
        assert balance.spent == sum(charge(balance.unit, entry) for entry in entries if matches(text, balance.scope, entry)), (
            text,
            balance,
        )
        assert balance.spent <= balance.limit


def make_adapter(module: Any) -> Any:
    return module.library.adapter()


@pytest.fixture
def module(library: Any) -> Iterator[Any]:
    library.module.library = library
    return library.module


_EXAMPLES = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@hypothesis_settings(max_examples=100, **_EXAMPLES)
@given(texts=budgets, schedule=schedules, threads=st.sampled_from([1, 1, 4]))
def test_in_memory(module: Any, texts: list[str], schedule: list[Step], threads: int) -> None:
    play(module, "memory:", texts, schedule, threads)


@hypothesis_settings(max_examples=40, **_EXAMPLES)
@given(texts=budgets, schedule=schedules, threads=st.sampled_from([1, 4]))
def test_in_sqlite(module: Any, tmp_path: Path, texts: list[str], schedule: list[Step], threads: int) -> None:
    play(module, f"sqlite:///{tmp_path / uuid.uuid4().hex}.db", texts, schedule, threads)
