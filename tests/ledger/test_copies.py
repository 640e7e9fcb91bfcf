"""Reading a ledger where nothing may be written."""

from __future__ import annotations

from contextlib import closing

import pytest

from spanledger.errors import LedgerError
from spanledger.ledger.copies import readable
from spanledger.ledger.sqlite import SqliteLedger


def read(path):
    """How many calls the file has, and whether they were read from a copy."""
    with readable(path, pytest.fail) as file, closing(SqliteLedger(file, migrate=False)) as ledger:
        return ledger.totals()[0].calls, file != path


def test_a_ledger_is_read_where_it_is(sqlite_ledger, make_entry):
    sqlite_ledger.settle(make_entry(), [])
    assert read(sqlite_ledger.path) == (1, False)


def test_a_ledger_on_a_read_only_file_system(tmp_path, sqlite_ledger, make_entry, unprivileged):
    sqlite_ledger.settle(make_entry(), [])
    sqlite_ledger.close()
    sqlite_ledger.path.chmod(0o444)
    tmp_path.chmod(0o555)
    with unprivileged():
        assert read(sqlite_ledger.path) == (1, True)
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]


def test_what_a_killed_program_left_in_its_log_is_read_there_too(tmp_path, sqlite_ledger, make_entry, unprivileged):
    sqlite_ledger.settle(make_entry(), [])
    for name in ("", "-wal"):
        (tmp_path / f"killed.db{name}").write_bytes((tmp_path / f"ledger.db{name}").read_bytes())
    tmp_path.chmod(0o555)
    with unprivileged():
        assert read(tmp_path / "killed.db") == (1, True)


def test_a_ledger_that_its_owner_keeps_to_himself(sqlite_ledger, unprivileged):
    sqlite_ledger.check()
    sqlite_ledger.close()
    sqlite_ledger.path.chmod(0)
    with unprivileged(), pytest.raises(LedgerError, match="Permission denied"):
        read(sqlite_ledger.path)


def test_reading_makes_no_file(tmp_path):
    with pytest.raises(LedgerError, match="cannot be opened"), closing(SqliteLedger(tmp_path / "gone.db", migrate=False)) as ledger:
        ledger.totals()
    assert list(tmp_path.iterdir()) == []
