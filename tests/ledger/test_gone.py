"""A SQLite ledger whose file is deleted, moved or replaced while it is open."""

from __future__ import annotations

import logging
import sqlite3

import pytest

from spanledger.ledger import database, place
from spanledger.ledger.sqlite import SqliteLedger


@pytest.fixture
def always(monkeypatch):
    """Every use looks whether the file is still there."""
    monkeypatch.setattr(database, "_LOOK_EVERY", 0.0)


def ids(path):
    ledger = SqliteLedger(path)
    try:
        return [entry.id for entry in ledger.entries()]
    finally:
        ledger.close()


def is_sound(path):
    with sqlite3.connect(path) as db:
        return db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.usefixtures("always")
def test_a_deleted_file_is_made_anew_with_one_warning(sqlite_ledger, make_entry, make_charge, balance, caplog):
    sqlite_ledger.settle(make_entry("a"), [make_charge(7)])
    assert balance(sqlite_ledger) == (7, 0)
    for file in sqlite_ledger.path.parent.iterdir():
        file.unlink()
    with caplog.at_level(logging.WARNING, "spanledger"):
        sqlite_ledger.settle(make_entry("b"), [make_charge(5)])
        assert balance(sqlite_ledger) == (5, 0)
        sqlite_ledger.settle(make_entry("c"), [make_charge(5)])
    (told,) = caplog.messages
    assert told.startswith(f"the ledger {sqlite_ledger.path} was deleted, moved or replaced while in use")
    assert ids(sqlite_ledger.path) == ["b", "c"]


@pytest.mark.usefixtures("always")
def test_a_deleted_directory_is_made_anew(tmp_path, make_entry):
    ledger = SqliteLedger(tmp_path / "deep" / "ledger.db")
    ledger.settle(make_entry("a"), [])
    (tmp_path / "deep").rename(tmp_path / "away")
    ledger.settle(make_entry("b"), [])
    ledger.close()
    assert (ids(tmp_path / "away" / "ledger.db"), ids(ledger.path)) == (["a"], ["b"])


def test_a_moved_file_keeps_what_was_written_until_somebody_looks(sqlite_ledger, make_entry, monkeypatch):
    """Another process begins a new file at the path meanwhile: neither damages the other's."""
    monkeypatch.setattr(database, "_LOOK_EVERY", 1e9)
    path, moved = sqlite_ledger.path, sqlite_ledger.path.with_name("2026-11.db")
    for id_ in "ab":
        sqlite_ledger.settle(make_entry(id_), [])
    path.rename(moved)
    sqlite_ledger.settle(make_entry("c"), [])
    other = SqliteLedger(path)
    other.settle(make_entry("d"), [])
    sqlite_ledger.settle(make_entry("e"), [])
    sqlite_ledger.close()
    other.settle(make_entry("f"), [])
    sqlite_ledger.settle(make_entry("g"), [])
    other.close()
    assert (sorted(ids(moved)), sorted(ids(path))) == (["a", "b", "c", "e"], ["d", "f", "g"])
    assert is_sound(moved)
    assert is_sound(path)


@pytest.mark.usefixtures("always")
def test_a_file_put_in_its_place_is_used(sqlite_ledger, tmp_path, make_entry):
    restored = SqliteLedger(tmp_path / "backup" / "ledger.db")
    restored.settle(make_entry("old"), [])
    restored.close()
    sqlite_ledger.settle(make_entry("a"), [])
    restored.path.replace(sqlite_ledger.path)
    sqlite_ledger.settle(make_entry("b"), [])
    sqlite_ledger.close()
    assert sorted(ids(sqlite_ledger.path)) == ["b", "old"]
    assert is_sound(sqlite_ledger.path)


def test_not_every_use_looks(sqlite_ledger, make_entry, monkeypatch):
    monkeypatch.setattr(database, "_LOOK_EVERY", 1e9)
    sqlite_ledger.settle(make_entry("a"), [])
    sqlite_ledger.settle(make_entry("b"), [])
    monkeypatch.setattr(place, "identity", lambda _path: pytest.fail("looked"))
    sqlite_ledger.settle(make_entry("c"), [])


@pytest.mark.usefixtures("always")
def test_a_path_that_cannot_be_looked_at_changes_nothing(sqlite_ledger, make_entry, monkeypatch, caplog):
    sqlite_ledger.settle(make_entry("a"), [])

    def denied(_path):
        raise PermissionError

    monkeypatch.setattr(place, "identity", denied)
    sqlite_ledger.settle(make_entry("b"), [])
    assert [entry.id for entry in sqlite_ledger.entries()] == ["a", "b"]
    assert caplog.messages == []


def test_a_lock_of_somebody_else_on_the_directory_only_delays(tmp_path, monkeypatch):
    pytest.importorskip("fcntl")
    monkeypatch.setattr(place, "_PATIENCE", 0.01)
    with place._alone_in(tmp_path) as first, place._alone_in(tmp_path) as second:
        assert (first, second) == (True, False)
        place.create_private(tmp_path / "ledger.db")
    assert (tmp_path / "ledger.db").stat().st_mode & 0o777 == 0o600
