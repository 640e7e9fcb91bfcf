"""Commands that only read leave the ledger's file as it is: programs with an older version may be using it."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from filled_books import in_json, spanledger

from spanledger.ledger.sqlite import SqliteLedger

OLD = Path(__file__).parents[1] / "ledger" / "schema_v1.sql"
READING = {
    "report": ("report",),
    "report of a run": ("report", "--by", "customer", "--execution", "e"),
    "trace": ("trace",),
    "budgets": ("budgets",),
    "status": ("status",),
    "audit list": ("audit", "list"),
    "audit verify": ("audit", "verify"),
    "reconcile": ("reconcile",),
    "ledger export": ("ledger", "export", "--once"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def older(path: Path) -> Any:
    """A ledger of version 1 that a program has open; one call of it is in the write-ahead log only."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.executescript(OLD.read_text())
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        columns = [row[1] for row in writer.execute("PRAGMA table_info(entry)")]
        values = ", ".join("'new'" if name == "id" else f'"{name}"' for name in columns)
        writer.execute(f"INSERT INTO entry SELECT {values} FROM entry WHERE id = 'done'")
        yield writer


def content(path: Path) -> tuple[bytes, list[str]]:
    with closing(sqlite3.connect(path)) as db:
        return path.read_bytes(), [str(db.execute("PRAGMA user_version").fetchone()), *db.iterdump()]


@pytest.mark.parametrize("command", READING)
def test_an_older_ledger_stays_as_it_is(path: Path, older: sqlite3.Connection, command: str) -> None:
    before = content(path)
    result = spanledger(*READING[command])
    assert result.exit_code in {0, 1} or command in {"reconcile", "ledger export"}, result.output
    assert "an older version of Spanledger (version 1, this one uses 2)" in " ".join(result.output.split())
    assert content(path) == before
    older.execute("UPDATE entry SET superseded = 0")


def test_what_an_older_ledger_holds_is_told(older: sqlite3.Connection) -> None:
    older.execute("UPDATE account SET ends = NULL")
    total = in_json("report")["total"]
    assert (total["consumed"]["calls"], total["consumed"]["nano_usd"]) == (2, 200)
    assert [(account["spent"], account["reserved"]) for line in in_json("budgets") for account in line["accounts"]] == [(40, 30)]
    assert [span["name"] for trace in in_json("trace") for span in trace["spans"]] == ["chat gpt-5"]
    assert in_json("audit", "verify") == {"whole": True, "records": 0, "head": "0" * 64, "broken": None, "noted": None}


def test_the_copy_is_private_and_gone_afterwards(
    path: Path, older: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del older
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    modes = []

    def see(ledger: SqliteLedger, *_: Any, **__: Any) -> list[Any]:
        modes.extend(stat.S_IMODE(place.stat().st_mode) for place in (ledger.path.parent, ledger.path))
        assert ledger.path.is_relative_to(tmp_path / "copies")
        return []

    monkeypatch.setattr(SqliteLedger, "totals", see)
    assert spanledger("report").exit_code == 0
    assert modes == [0o700, 0o600]
    assert list((tmp_path / "copies").iterdir()) == []
    assert path.is_file()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_copy_goes_when_the_command_is_told_to_end(
    number: signal.Signals, older: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del older
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    monkeypatch.setattr(SqliteLedger, "totals", lambda *_, **__: os.kill(os.getpid(), number))
    before = signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may have had it ignored, as nohup does
    try:
        assert spanledger("report").exit_code == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_command_goes_on_where_a_signal_is_ignored(older: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    del older
    totals = SqliteLedger.totals

    def told_to_end(*args: Any, **more: Any) -> Any:
        os.kill(os.getpid(), signal.SIGHUP)
        return totals(*args, **more)

    monkeypatch.setattr(SqliteLedger, "totals", told_to_end)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert spanledger("report").exit_code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_no_room_for_a_copy_is_told(path: Path, older: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del older
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    result = spanledger("report")
    assert result.exit_code == 2
    assert f"the ledger {path} cannot be copied" in result.stderr
    assert "TMPDIR" in result.stderr


@pytest.mark.parametrize("command", READING)
def test_an_empty_file_stays_empty(path: Path, command: str) -> None:
    path.touch()
    assert "ledger.db has no tables: nothing was written to it yet, or it was copied without" in " ".join(
        spanledger(*READING[command]).output.split()
    )
    assert path.read_bytes() == b""
