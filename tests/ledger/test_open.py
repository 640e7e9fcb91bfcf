"""From a URL to a ledger, and to memory with one warning where a file cannot be used."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from spanledger.errors import ConfigurationError, LedgerError, LedgerTooNew
from spanledger.ledger import place
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.open import open_ledger, sqlite_path, understood, whole
from spanledger.ledger.sqlite import SqliteLedger


@pytest.fixture
def problems():
    return []


@pytest.mark.parametrize("url", ["memory:", "memory://", " memory: "])
def test_memory(url, problems):
    assert isinstance(open_ledger(url, on_problem=problems.append), MemoryLedger)
    assert problems == []


def test_an_absolute_path_has_four_slashes_and_its_directories_are_made(tmp_path, problems):
    ledger = open_ledger(f"sqlite:///{tmp_path}/a/b/ledger.db", on_problem=problems.append)
    assert isinstance(ledger, SqliteLedger)
    assert ledger.path == tmp_path / "a" / "b" / "ledger.db"
    assert ledger.path.is_file()
    assert problems == []
    ledger.close()


def test_a_relative_path(tmp_path, monkeypatch, problems):
    monkeypatch.chdir(tmp_path)
    ledger = open_ledger("sqlite:///books.db", on_problem=problems.append)
    assert (ledger.path, problems) == (tmp_path / "books.db", [])
    ledger.close()


def test_two_relative_paths_are_two_ledgers(tmp_path, monkeypatch):
    found = set()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        found.add(whole("sqlite:///books.db"))
    assert found == {f"sqlite:///{tmp_path}/one/books.db", f"sqlite:///{tmp_path}/two/books.db"}
    assert whole(f" sqlite:///{tmp_path}/one/books.db") in found
    assert whole("memory:") == "memory:"


def test_a_relative_path_makes_no_directories(tmp_path, monkeypatch, problems):
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_ledger("sqlite:///var/lib/books.db", on_problem=problems.append), MemoryLedger)
    (problem,) = problems
    assert "absolute path takes four slashes, as in sqlite:////var/lib/books.db" in problem
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite:///var/lib/books.db", "sqlite:///~nobody-we-know/books.db"])
def test_a_path_that_cannot_be_made_is_understood_all_the_same(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    assert understood(url, "memory:") == (url, None)
    with pytest.raises(LedgerError, match="cannot be created"):
        sqlite_path(url)


def test_a_home_that_nobody_knows(tmp_path, monkeypatch, problems):
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_ledger("sqlite:///~nobody-we-know/a/books.db", on_problem=problems.append), MemoryLedger)
    (problem,) = problems
    assert problem.startswith("the ledger ~nobody-we-know/a/books.db cannot be created: there is no such home directory. Until this")
    assert list(tmp_path.iterdir()) == []


def test_a_working_directory_that_is_gone(tmp_path, monkeypatch, problems):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert isinstance(open_ledger("sqlite:///books.db", on_problem=problems.append), MemoryLedger)
    assert "the working directory is gone" in problems[0]


def test_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    ledger = open_ledger("sqlite:///~/deep/books.db")
    assert ledger.path == tmp_path / "deep" / "books.db"
    ledger.close()


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite://", "sqlite:///", "sqlite://host/x.db", "sqlite:x.db", "sqlite:////tmp/", "sqlite:///:memory:"]
)
def test_a_url_without_a_file(url):
    with pytest.raises(ConfigurationError, match=r"^SPANLEDGER_LEDGER: .*; expected memory: or sqlite:///"):
        open_ledger(url)


@pytest.mark.parametrize("url", ["redis://:secret@host/0", "postgresql://user:secret@host/db"])
def test_kinds_that_will_come_say_so_and_keep_the_password(url):
    with pytest.raises(ConfigurationError, match="is not available in this version; expected memory: or sqlite:///") as caught:
        open_ledger(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "mysql://user:secret@host", "/var/lib/ledger.db", "memory:x"])
def test_unknown_kinds(url):
    with pytest.raises(ConfigurationError, match="is no kind of ledger; expected memory: or sqlite:///") as caught:
        open_ledger(url)
    assert "secret" not in str(caught.value)


def too_new(path):
    ledger = SqliteLedger(path)
    ledger.check()
    ledger.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (too_new, LedgerTooNew, "written by a newer version of Spanledger"),
        (lambda path: path.write_bytes(b"garbage" * 999), LedgerError, "not a SQLite database"),
        (lambda path: path.mkdir(), LedgerError, "cannot be opened or created"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, problems, spoil, error, told):
    path = tmp_path / "ledger.db"
    spoil(path)
    url = f"sqlite:///{path}"
    assert isinstance(open_ledger(url, on_problem=problems.append), MemoryLedger)
    (problem,) = problems
    assert told in problem
    assert "kept in memory" in problem
    assert "set SPANLEDGER_LEDGER to" in problem
    with pytest.raises(error, match=told):
        open_ledger(url)


@pytest.mark.parametrize("home", ["/proc/nobody", "/dev/null/home"])
def test_no_home(monkeypatch, problems, home):
    monkeypatch.setenv("HOME", home)
    assert isinstance(open_ledger("sqlite:///~/.local/state/spanledger/ledger.db", on_problem=problems.append), MemoryLedger)
    assert len(problems) == 1


def test_a_read_only_home(tmp_path, problems, unprivileged):
    tmp_path.chmod(0o500)
    with unprivileged():
        assert isinstance(open_ledger(f"sqlite:///{tmp_path}/state/ledger.db", on_problem=problems.append), MemoryLedger)
    (problem,) = problems
    assert "Permission denied" in problem


def test_a_directory_that_may_not_be_searched(tmp_path, problems, unprivileged):
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o000)
    with unprivileged():
        assert isinstance(open_ledger(f"sqlite:///{hidden}/ledger.db", on_problem=problems.append), MemoryLedger)
        with pytest.raises(LedgerError, match="Permission denied"):
            place.check_creatable(hidden / "ledger.db")
    (problem,) = problems
    assert "ledger.db cannot be created: Permission denied; choose a path in a directory that can be written" in problem


FULL = """
import resource, sys
from spanledger.ledger.open import open_ledger
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
problems = []
print(type(open_ledger("sqlite:///" + sys.argv[1], on_problem=problems.append)).__name__, len(problems), *problems)
"""


def test_a_full_disk(tmp_path, start, finished):
    assert finished(start(FULL, tmp_path / "ledger.db")).startswith(
        f"MemoryLedger 1 the ledger {tmp_path}/ledger.db cannot be used: the disk"
    )


def test_a_busy_file_is_not_a_problem(tmp_path, problems):
    path = tmp_path / "ledger.db"
    first = SqliteLedger(path)
    first.check()
    seen = []
    first._writer.write(lambda db: seen.append(open_ledger(f"sqlite:///{path}", on_problem=problems.append)))
    assert [type(ledger) for ledger in seen] == [SqliteLedger]
    assert problems == []
    seen[0].close()
    first.close()


def test_a_file_where_nobody_may_look_is_not_taken_for_missing(tmp_path, monkeypatch):
    assert not place.is_there(tmp_path / "books.db")

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(Path, "stat", refuse)
    assert place.is_there(tmp_path / "books.db")


def test_a_place_is_tried_and_nothing_is_left(tmp_path):
    place.check_creatable(tmp_path / "a" / "b" / "books.db")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for nowhere in (tmp_path / "file" / "books.db", Path("/proc/nowhere/books.db")):
        with pytest.raises(LedgerError, match=r"books.db cannot be created: .*; choose a path in a directory that can be written"):
            place.check_creatable(nowhere)


def test_sqlite_path(tmp_path):
    assert sqlite_path(f"sqlite:///{tmp_path}/x.db") == tmp_path / "x.db"
    assert sqlite_path("memory:") is None
