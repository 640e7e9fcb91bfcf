"""Builders for the tests of the budgets: real ledgers, real rules, and a price list whose amounts can be read off."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from spanledger.budgets import spill
from spanledger.budgets.gate import Admission, Gate, Notice
from spanledger.budgets.rule import parse
from spanledger.budgets.spool import Spool
from spanledger.errors import LedgerError
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, Request, State, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanledger.ledger.ledger import Ledger

sys.path.insert(0, str(Path(__file__).parent))  # for what several of these tests share

UTC = ZoneInfo("UTC")
NOW = 1_795_262_400.0  # 2026-11-21 12:00 UTC
RATES = {"paid": 10, "free": 0}
_ids = itertools.count(1)


class PriceList:
    """Nano-USD per token by model; other models have no price."""

    asked = 0

    def price(self, provider: str, model: str | None, usage: Usage, *, when: float, context: dict[str, str] | None = None) -> Cost:
        self.asked += 1
        if model not in RATES:
            return Cost(None, CostStatus.UNPRICED)
        status = CostStatus.EXACT if usage.state is State.EXACT else CostStatus.ESTIMATED
        return Cost(RATES[model] * usage.total, status, "test", "1", f"{provider}/{model}")


@dataclass
class Desk:
    """A gate over a ledger, and what it told."""

    gate: Gate
    ledger: Any
    book: PriceList
    notices: list[Notice] = field(default_factory=list)

    @property
    def told(self) -> list[tuple[str, str, int | None]]:
        return [(notice.kind, notice.budget, notice.percent) for notice in self.notices]

    def balance(self, budget: str, scope: str = "") -> tuple[int, int]:
        """Spent and reserved of the account."""
        found = [(b.spent, b.reserved) for b in self.ledger.balances(NOW) if (b.budget, b.scope) == (budget, scope)]
        assert len(found) <= 1, found
        return found[0] if found else (0, 0)

    def admit(self, entry: Entry, max_output: int | None = 100, *, wait: bool = True, **changes: Any) -> Admission:
        asked: dict[str, Any] = {"operation": entry.operation, "activity": entry.activity, "provider": entry.provider, "model": entry.model}
        return self.gate.admit(entry, Request(**{**asked, "max_output": max_output, **changes}), wait=wait)

    def call(self, entry: Entry, max_output: int | None = 100, used: int = 100, **changes: Any) -> Entry:
        """A whole call that uses ``used`` tokens, as the provider tells."""
        admission = self.admit(entry, max_output, **changes)
        self.finish(entry, admission, used)
        return entry

    def finish(self, entry: Entry, admission: Admission, used: int, *, wait: bool = True) -> None:
        entry.usage = Usage(0, used)
        entry.cost = self.book.price(entry.provider, entry.model, entry.usage, when=entry.time)
        self.gate.settle(entry, admission, wait=wait)


def new_entry(model: str | None = "paid", *, time: float = NOW, customer: str | None = None, **fields: Any) -> Entry:
    keys = {**fields.pop("keys", {}), **({"customer": customer} if customer else {})}
    defaults: dict[str, Any] = {"activity": Activity.LLM, "provider": "acme", "operation": "chat"}
    return Entry(f"entry-{next(_ids)}", time, model=model, keys=keys, **{**defaults, **fields})


@pytest.fixture
def entry() -> Callable[..., Entry]:
    """Makes entries: model ``paid`` costs 10 nano-USD a token, ``free`` nothing, others have no price."""
    return new_entry


def new_desk(ledger: Ledger, budgets: dict[str, str], **options: Any) -> Desk:
    notices: list[Notice] = []
    book = PriceList()
    rules = [parse(name, text) for name, text in budgets.items()]
    gate = Gate(rules, ledger, book, **{"timezone": UTC, "clock": lambda: NOW, "notify": notices.append, **options})
    return Desk(gate, ledger, book, notices)


@pytest.fixture
def open_desk() -> Iterator[Callable[..., Desk]]:
    """Makes desks: ``open_desk(ledger, {"NAME": "5 USD per day"}, **options of the gate)``; closes their spools."""
    desks: list[Desk] = []

    def make(ledger: Ledger, budgets: dict[str, str], **options: Any) -> Desk:
        desks.append(new_desk(ledger, budgets, **options))
        return desks[-1]

    yield make
    for desk in desks:
        desk.gate.spool.close(5.0)
        desk.ledger.close()


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return MemoryLedger() if request.param == "memory" else SqliteLedger(tmp_path / "ledger.db")


class FaultyLedger(SqliteLedger):
    """A real ledger that can be out of reach, and that shows when its thread passes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reachable = threading.Event()
        self.reachable.set()
        self.hang = threading.Event()
        self.hang.set()
        self.renewed, self.swept = threading.Event(), threading.Event()
        self.renewals: list[tuple[set[str], float]] = []

    def settle(self, entry: Entry, charges: Any, *, wait: bool = True) -> Any:
        if entry.model == "poison":
            raise ZeroDivisionError
        self.hang.wait(30)
        if not self.reachable.is_set():
            raise LedgerError("away")  # noqa: EM101
        return super().settle(entry, charges, wait=wait)

    def renew(self, entry_ids: Any, expires: float) -> None:
        self.renewals.append((set(entry_ids), expires))
        super().renew(entry_ids, expires)
        self.renewed.set()

    def sweep(self, now: float) -> Any:
        swept = super().sweep(now)
        self.swept.set()
        return swept


@pytest.fixture
def file_ledger(tmp_path: Path) -> Iterator[FaultyLedger]:
    ledger = FaultyLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.hang.set()
    ledger.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[spill.Settlement]]:
    """The settlements in the log."""

    def read() -> list[spill.Settlement]:
        lines = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
        return [spill.decode(line.removeprefix("not in the ledger: ")) for line in lines]

    return read


@pytest.fixture
def open_spool(file_ledger: FaultyLedger, tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    spools: list[Spool] = []

    def make(**options: Any) -> Spool:
        spools.append(Spool(file_ledger, **{"state_dir": tmp_path / "state", "ledger_url": "sqlite:///x", **options}))
        return spools[-1]

    yield make
    file_ledger.hang.set()
    file_ledger.reachable.set()
    for spool in spools:
        spool.close(5.0)
