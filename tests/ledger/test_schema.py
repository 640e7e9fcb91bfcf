"""Files: whose they are, who may read them, and how old ones become new ones."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from spanledger.errors import LedgerError, LedgerTooNew
from spanledger.ledger import schema
from spanledger.ledger.spans import SpanStore
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import State

LATER = 2_000_000_000.0
NEXT = (
    *schema.MIGRATIONS,
    ("ALTER TABLE entry ADD COLUMN colour TEXT", "CREATE TABLE more (line TEXT)", "INSERT INTO more VALUES ('once')"),
)
"""What a later version may look like."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def raw():
    """Opens a file without Spanledger; closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))


@pytest.fixture
def prepared(raw):
    """Opens a file and brings it to the newest of ``migrations``."""

    def prepare(path: Path, migrations=schema.MIGRATIONS) -> sqlite3.Connection:
        db = raw(path)
        schema.prepare(db, path, migrations)
        return db

    return prepare


def test_files_and_directories_are_private(tmp_path, make_entry):
    ledger = SqliteLedger(tmp_path / "new" / "newer" / "ledger.db")
    ledger.settle(make_entry(), [])
    directory = ledger.path.parent
    assert {path.name: mode(path) for path in directory.iterdir()} == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), 384)
    assert (mode(directory), mode(directory.parent)) == (0o700, 0o700)
    ledger.close()


def test_a_path_stays_what_it_was_when_the_working_directory_changes(tmp_path, make_entry, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = SqliteLedger("ledger.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ledger.settle(make_entry(), [])
    ledger.close()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["ledger.db"]


def test_version_1_can_still_be_used(tmp_path, make_charge, make_entry, balance, now, raw):
    path = tmp_path / "ledger.db"
    raw(path).executescript(Path(__file__).with_name("schema_v1.sql").read_text())
    ledger = SqliteLedger(path)
    (done,) = ledger.entries()
    assert (done.id, done.keys, done.usage.clamped, done.cost.model) == ("done", {"customer": "acme", "tenant": "t"}, True, "openai/gpt-5")
    assert [(entry.id, entry.usage.state) for entry in ledger.sweep(now)] == [("under way", State.UNKNOWN)]
    assert balance(ledger) == (70, 0)
    assert ledger.reserve(make_entry("new"), [make_charge(31)], LATER) is not None
    assert [one.totals["llm"].nano_usd for one in ledger.executions()] == [100]
    assert [span.name for span in SpanStore(path).trace("t1")] == ["chat gpt-5"]
    ledger.close()


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS) + 1))
def test_a_file_of_each_version_gets_today_s_tables(tmp_path, prepared, raw, version):
    """Whoever changes the tables appends a migration, and a fixture of the version before."""
    (tmp_path / "old").mkdir()
    path = tmp_path / "old" / "ledger.db"
    raw(path).executescript(Path(__file__).with_name(f"schema_v{version}.sql").read_text())
    shapes = []
    for db in (prepared(path), prepared(tmp_path / "new.db")):
        names = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name").fetchall()
        shapes.append(
            {name: db.execute(f"PRAGMA table_info({name})").fetchall() for name in names for name in name[1:]} | dict.fromkeys(names)
        )
        db.close()
    assert shapes[0] == shapes[1]


def test_an_older_file_is_migrated_and_keeps_its_books(tmp_path, make_entry, make_charge, balance, monkeypatch, prepared):
    path = tmp_path / "ledger.db"
    old = SqliteLedger(path)
    old.settle(make_entry(), [make_charge(40)])
    old.reserve(make_entry("b"), [make_charge(20)], 1.0)
    old.close()
    prepared(path, NEXT).close()
    monkeypatch.setattr(schema, "MIGRATIONS", NEXT)
    monkeypatch.setattr(schema.prepare, "__defaults__", (NEXT,))
    new = SqliteLedger(path)
    assert balance(new) == (40, 20)
    assert [entry.id for entry in new.sweep(2.0)] == ["b"]
    new.close()


def test_a_failing_migration_leaves_the_old_version(tmp_path, prepared, raw):
    path = tmp_path / "ledger.db"
    prepared(path).close()
    with pytest.raises(sqlite3.OperationalError):
        prepared(path, (*schema.MIGRATIONS, ("CREATE TABLE half (x)", "SELECT nonsense FROM nowhere")))
    db = raw(path)
    assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)


def test_many_migrating_at_once_migrate_once(tmp_path, make_entry, monkeypatch, raw):
    monkeypatch.setattr(schema.prepare, "__defaults__", (NEXT,))
    path, barrier, failures = tmp_path / "ledger.db", threading.Barrier(8), []

    def work(number: int) -> None:
        ledger = SqliteLedger(path)
        barrier.wait()
        try:
            ledger.settle(make_entry(str(number)), [])
        except LedgerError as error:
            failures.append(error)
        ledger.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    db = raw(path)
    assert db.execute("SELECT line FROM more").fetchall() == [("once",)]
    assert db.execute("SELECT count(*) FROM entry").fetchone() == (8,)


def test_a_newer_file_is_refused_and_not_touched(tmp_path, make_entry, prepared):
    path = tmp_path / "ledger.db"
    prepared(path, NEXT).close()
    before = digest(path)
    ledger = SqliteLedger(path)
    with pytest.raises(
        LedgerTooNew, match=r"ledger\.db was written by a newer version of Spanledger .*version 3.*knows 2.*upgrade spanledger"
    ):
        ledger.settle(make_entry(), [])
    assert digest(path) == before


@pytest.mark.parametrize("content", [b"hello", b"not a database\n" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_garbage_is_refused_and_not_touched(tmp_path, make_entry, content):
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger\.db cannot be used: it is (not a SQLite database|damaged)"):
        SqliteLedger(path).settle(make_entry(), [])
    assert path.read_bytes() == content


@pytest.mark.parametrize("statement", ["CREATE TABLE theirs (x)", "PRAGMA user_version = 7", "PRAGMA application_id = 5"])
def test_another_program_s_database_is_refused_and_not_touched(tmp_path, make_entry, statement, raw):
    path = tmp_path / "ledger.db"
    other = raw(path)
    other.execute(statement)
    other.execute("VACUUM")
    other.close()
    before = digest(path)
    with pytest.raises(LedgerError, match="the database of another program"):
        SqliteLedger(path).settle(make_entry(), [])
    assert digest(path) == before


OVERTAKE = """
import sqlite3, sys
from spanledger.ledger import schema
schema.prepare(sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0.01), sys.argv[1])
"""


def test_a_file_that_becomes_a_ledger_while_it_is_looked_at(tmp_path, start, raw):
    """Another process may be faster at any moment; here it is between the first look and the second."""
    path = tmp_path / "ledger.db"
    db = raw(path)

    def overtake(statement: str) -> None:
        if statement == "PRAGMA user_version":
            db.set_trace_callback(None)
            start(OVERTAKE, path).wait()

    db.set_trace_callback(overtake)
    schema.prepare(db, path)
    assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    db.close()


def test_an_empty_file_becomes_a_ledger_with_its_mode(tmp_path, make_entry):
    path = tmp_path / "ledger.db"
    path.touch(mode=0o640)
    ledger = SqliteLedger(path)
    ledger.settle(make_entry(), [])
    assert mode(path) == mode(tmp_path / "ledger.db-wal") == 0o640
    ledger.close()


def test_a_directory_that_cannot_be_written(tmp_path, make_entry, unprivileged):
    tmp_path.chmod(0o500)
    with unprivileged(), pytest.raises(LedgerError, match="cannot be created: Permission denied; choose a path in a directory"):
        SqliteLedger(tmp_path / "ledger.db").settle(make_entry(), [])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written(tmp_path, make_entry, unprivileged):
    with unprivileged():
        ledger = SqliteLedger(tmp_path / "ledger.db")
        ledger.settle(make_entry(), [])
        ledger.close()
        ledger.path.chmod(0o400)
        with pytest.raises(LedgerError, match="it is read-only; make the file and its directory writable"):
            ledger.settle(make_entry("b"), [])
        for path in tmp_path.iterdir():  # SQLite gave its side files the mode it found
            path.chmod(0o600)
        ledger.settle(make_entry("b"), [])
        assert ledger.totals()[0].calls == 2
        ledger.close()


def test_a_directory_in_place_of_the_file(tmp_path, make_entry):
    with pytest.raises(LedgerError, match="it cannot be opened or created"):
        SqliteLedger(tmp_path).settle(make_entry(), [])


def test_the_umask_is_not_changed(tmp_path, make_entry):
    before = os.umask(0o022)
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.settle(make_entry(), [])
    ledger.close()
    assert os.umask(before) == 0o022
