"""Ledgers of each kind, and short ways to write entries and charges."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Charge, Cost, CostStatus, Entry, Hold, State, Unit, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanledger.ledger.ledger import Ledger

SRC = Path(__file__).parents[2] / "src"
NOW = 1_750_000_000.0
NOBODY = 65534


@pytest.fixture
def now() -> float:
    """A moment on 2025-06-15, 15:06:40 UTC."""
    return NOW


@pytest.fixture
def make_entry() -> Callable[..., Entry]:
    """An entry with sensible values: ``make_entry("id", tokens=10, nano=5, state="unknown", time=..., any field of Entry)``."""

    def make(id_: str = "a", *, tokens: int = 10, nano: int | None = 100, state: str = "exact", **fields: Any) -> Entry:
        cost = Cost(nano, CostStatus.UNPRICED if nano is None else CostStatus.EXACT, "genai-prices", "0.2.3", "openai/gpt-5", "2026-01-01")
        values: dict[str, Any] = {"time": NOW, "activity": Activity.LLM, "provider": "openai", "operation": "chat", "model": "gpt-5"}
        values |= {"usage": Usage(input=tokens, output=0, state=State(state)), "cost": cost}
        return Entry(id_, **(values | fields))

    return make


@pytest.fixture
def make_charge() -> Callable[..., Charge]:
    """An amount of one account: ``make_charge(30, limit=100, account="TEAM")``."""

    def make(amount: int, *, limit: int = 100, account: str = "TEAM", ends: float | None = NOW + 3600, blocking: bool = True) -> Charge:
        return Hold(account, account.split("|", maxsplit=1)[0], "customer=acme", Unit.TOKENS, limit, ends, blocking), amount

    return make


@pytest.fixture
def sqlite_ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """A ledger in a new file."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """Each kind of ledger in turn."""
    if request.param == "memory":
        return MemoryLedger()
    found: SqliteLedger = request.getfixturevalue("sqlite_ledger")
    return found


@pytest.fixture
def balance() -> Callable[..., tuple[int, int]]:
    """(spent, reserved) of an account."""

    def read(ledger: Ledger, account: str = "TEAM") -> tuple[int, int]:
        found = {balance.account: (balance.spent, balance.reserved) for balance in ledger.balances(NOW)}
        return found[account]

    return read


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``python -c code arguments`` with the sources on its path; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        process = subprocess.Popen(
            command, text=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )  # our own code
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


@pytest.fixture
def finished() -> Callable[[subprocess.Popen[str]], str]:
    """Waits for a process started by ``start``, checks that it went well and returns what it printed."""

    def read(process: subprocess.Popen[str]) -> str:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        return out

    return read


@pytest.fixture
def unprivileged(tmp_path: Path) -> Callable[[], Any]:
    """A context in which file permissions count, also when the tests run as root: then as the user nobody, who must reach the folder."""

    @contextmanager
    def drop() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        for directory in tmp_path.parents[:4]:  # pytest's own; xdist has one more for each worker
            if directory.owner() == "root" and directory.name.startswith(("pytest-", "popen-")):
                directory.chmod(0o755)
        os.chown(tmp_path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            if not os.access(tmp_path, os.R_OK, effective_ids=True):
                pytest.skip(f"root has no permissions to test, and nobody else can reach {tmp_path}: choose another --basetemp")
            yield
        finally:
            os.seteuid(0)

    return drop
