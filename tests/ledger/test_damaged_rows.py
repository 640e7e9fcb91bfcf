"""A row of the ledger's file that means nothing costs what it stood for, and nothing else."""

from __future__ import annotations

import sqlite3

import pytest

from spanledger.errors import LedgerError

LATER = 2_000_000_000.0
EXPIRED, SOON = 1.0, 10.0


@pytest.fixture
def damage(sqlite_ledger):
    """Runs SQL on the file as somebody else would."""
    sqlite_ledger.check()

    def run(sql: str) -> None:
        with sqlite3.connect(sqlite_ledger.path) as connection:
            assert connection.execute(sql).rowcount == 1
        connection.close()

    return run


@pytest.mark.parametrize(
    "change",
    [
        "draft = '{half'", "draft = '[]'", "draft = '7'", "draft = ''", "draft = replace(draft, 'llm', 'work')",
        "holds = '[[\"TEAM\"'", "holds = '[\"TEAM\", 30]'", "holds = '[[\"TEAM\", \"many\"]]'", "holds = '9'", "holds = x'00ff'",
    ],
)  # fmt: skip
def test_a_damaged_lease_keeps_no_other_from_being_swept(sqlite_ledger, damage, make_entry, make_charge, balance, caplog, change):
    for name in ("before", "broken", "after"):
        sqlite_ledger.reserve(make_entry(name), [make_charge(30)], EXPIRED)
    damage(f"UPDATE lease SET {change} WHERE entry = 'broken'")
    assert {entry.id for entry in sqlite_ledger.sweep(SOON)} == {"before", "after"}
    assert balance(sqlite_ledger) == (60, 30), "what the damaged one holds stays reserved"
    [told] = [record.getMessage() for record in caplog.records]
    assert str(sqlite_ledger.path) in told
    assert "lease of call broken" in told
    assert sqlite_ledger.sweep(SOON) == []
    assert len(caplog.records) == 1, "told once"
    assert sqlite_ledger.open_leases() == 1, "nothing is thrown away"


def test_a_repaired_lease_is_swept_as_the_message_says(sqlite_ledger, damage, make_entry, make_charge, balance, caplog):
    sqlite_ledger.reserve(make_entry("broken"), [make_charge(30)], EXPIRED)
    damage("UPDATE lease SET holds = '?' || holds")
    sqlite_ledger.sweep(SOON)
    damage("UPDATE lease SET holds = substr(holds, 2)")
    _, _, advice = caplog.records[0].getMessage().partition("UPDATE ")
    damage("UPDATE " + advice.removesuffix(" has it swept"))
    assert [entry.id for entry in sqlite_ledger.sweep(SOON)] == ["broken"]
    assert balance(sqlite_ledger) == (30, 0)


def test_a_call_with_a_damaged_lease_is_settled_all_the_same(sqlite_ledger, damage, make_entry, make_charge, balance, caplog):
    sqlite_ledger.reserve(make_entry(), [make_charge(30)], LATER)
    damage("UPDATE lease SET holds = '{half'")
    sqlite_ledger.settle(make_entry(), [make_charge(10)])
    assert [entry.id for entry in sqlite_ledger.entries()] == ["a"]
    assert balance(sqlite_ledger) == (10, 30)
    assert "stays reserved until the windows of its budgets end" in caplog.text


DAMAGES = ["spent = 'much'", "reserved = 0.5", "\"limit\" = 'all'", "unit = 'apples'"]


@pytest.mark.parametrize("change", DAMAGES)
def test_a_damaged_account_keeps_no_other_from_being_swept(sqlite_ledger, damage, make_entry, make_charge, caplog, change):
    sqlite_ledger.reserve(make_entry("broken"), [make_charge(30)], EXPIRED)
    sqlite_ledger.reserve(make_entry("sound"), [make_charge(30, account="OTHER")], EXPIRED)
    damage(f"UPDATE account SET {change} WHERE id = 'TEAM'")
    assert [entry.id for entry in sqlite_ledger.sweep(SOON)] == ["sound"]
    assert "lease of call broken" in caplog.text


@pytest.mark.parametrize("change", DAMAGES)
def test_a_damaged_account_is_a_ledger_that_cannot_be_used(sqlite_ledger, damage, make_entry, make_charge, change):
    sqlite_ledger.settle(make_entry("first"), [make_charge(30)])
    damage(f"UPDATE account SET {change}")
    for use in (sqlite_ledger.balances, lambda when: sqlite_ledger.reserve(make_entry(), [make_charge(1)], when)):
        with pytest.raises(LedgerError, match=r"cannot be read .*: it is damaged"):
            use(LATER - 1e9)
