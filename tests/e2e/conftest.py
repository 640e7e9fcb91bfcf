"""The local provider, for tests that let real clients talk to it, and the folder of the examples."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spanledger.ledger.ledger import Ledger

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(Path(__file__).parent)]

from local_provider import LocalProvider  # noqa: E402  # importable only now

from spanledger.ledger.open import open_ledger  # noqa: E402
from spanledger.ledger.spans import SpanStore  # noqa: E402


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as running:
        yield running


@pytest.fixture
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    return open_ledger(ledger_url)


@pytest.fixture
def spans(tmp_path: Path) -> SpanStore:
    return SpanStore(tmp_path / "ledger.db")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ledger_url: str) -> None:
    """Nothing of ours from outside; the books are in the test's own folder."""
    for name in list(os.environ):
        if name.startswith(("SPANLEDGER_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SPANLEDGER_LEDGER", ledger_url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
