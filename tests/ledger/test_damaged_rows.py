"""A row of the ledger's file that means nothing costs what it stood for, and nothing else."""

from __future__ import annotations

import sqlite3

import pytest

from spanledger.errors import LedgerDamaged
from spanledger.ledger import rows, stored

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


def column(name: str, value: str) -> str:
    return f"draft = json_set(draft, '$[{rows.COLUMNS.index(name)}]', {value})"


@pytest.mark.parametrize(
    "change",
    [
        column("time", "NULL"), column("provider", "NULL"), column("model", "json('[1]')"), column("input_tokens", "1e30"), column("nano_usd", "'7'"),
        "draft = '{half'", "draft = '[]'", "draft = '7'", "draft = ''", "draft = replace(draft, 'llm', 'work')",
        "holds = '[[\"TEAM\"'", "holds = '[\"TEAM\", 30]'", "holds = '[[\"TEAM\", \"many\"]]'", "holds = '9'", "holds = x'00ff'",
        "holds = '[[\"TEAM\", Infinity]]'", "holds = printf('%.*c', 100000, '[')",
    ],
)  # fmt: skip
def test_a_damaged_lease_keeps_no_other_from_being_swept(sqlite_ledger, damage, make_entry, make_charge, balance, caplog, change):
    for name in ("before", "broken", "after"):
        sqlite_ledger.reserve(make_entry(name), [make_charge(30)], EXPIRED)
    damage(f"UPDATE lease SET {change} WHERE entry = 'broken'")
    assert sqlite_ledger.unsettled(SOON).calls == 3
    assert {entry.id for entry in sqlite_ledger.sweep(SOON)} == {"before", "after"}
    assert balance(sqlite_ledger) == (60, 30), "what the damaged one holds stays reserved"
    [told] = [record.getMessage() for record in caplog.records]
    assert str(sqlite_ledger.path) in told
    assert "lease of call broken" in told
    assert sqlite_ledger.sweep(SOON) == []
    assert len(caplog.records) == 1, "told once"
    assert sqlite_ledger.open_leases() == 1, "nothing is thrown away"


def test_a_draft_of_a_newer_version_is_swept(sqlite_ledger, damage, make_entry):
    sqlite_ledger.reserve(make_entry(), [], EXPIRED)
    damage("UPDATE lease SET draft = json_insert(draft, '$[#]', 'new')")
    assert [entry.id for entry in sqlite_ledger.sweep(SOON)] == ["a"]


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
    assert "what call a was booked to stays booked" in caplog.text


def test_an_entry_with_damaged_charges_gives_way(sqlite_ledger, damage, make_entry, make_charge, balance, caplog):
    sqlite_ledger.settle(make_entry(state="estimated"), [make_charge(30)])
    damage("UPDATE entry SET charges = '{half'")
    sqlite_ledger.settle(make_entry(), [make_charge(10)])
    assert [entry.usage.state for entry in sqlite_ledger.entries()] == ["exact"]
    assert balance(sqlite_ledger) == (40, 0)
    assert "what call a was booked to stays booked" in caplog.text


DAMAGES = ["spent = 'much'", "reserved = 0.5", "\"limit\" = 'all'", "unit = 'apples'"]


@pytest.fixture
def two(sqlite_ledger, make_entry, make_charge):
    """Two dead calls, of two accounts."""
    sqlite_ledger.reserve(make_entry("of TEAM"), [make_charge(30)], EXPIRED)
    sqlite_ledger.reserve(make_entry("of OTHER"), [make_charge(30, account="OTHER")], EXPIRED)
    stored._told.clear()
    return sqlite_ledger


@pytest.mark.parametrize("change", DAMAGES)
def test_a_damaged_account_keeps_no_call_out_of_the_books(two, damage, make_entry, make_charge, caplog, change):
    damage(f"UPDATE account SET {change} WHERE id = 'TEAM'")
    assert {entry.id for entry in two.sweep(SOON)} == {"of TEAM", "of OTHER"}
    two.settle(make_entry("later"), [make_charge(5), make_charge(7, account="OTHER")])
    assert "later" in {entry.id for entry in two.entries()}
    damage("UPDATE account SET spent = 0, reserved = 0, \"limit\" = 100, unit = 'tokens' WHERE id = 'TEAM'")
    assert {found.account: found.spent for found in two.balances(SOON)} == {"TEAM": 0, "OTHER": 37}
    [told] = [record.getMessage() for record in caplog.records]
    assert "the budget account 'TEAM' is left as it is" in told


@pytest.mark.parametrize("change", DAMAGES)
def test_a_damaged_account_cannot_be_asked(sqlite_ledger, damage, make_entry, make_charge, change):
    sqlite_ledger.settle(make_entry("first"), [make_charge(30)])
    damage(f"UPDATE account SET {change}")
    with pytest.raises(LedgerDamaged, match=r"cannot be read .*: it is damaged"):
        sqlite_ledger.reserve(make_entry(), [make_charge(1)], SOON)
    assert sqlite_ledger.open_leases() == 0
    assert sqlite_ledger.reserve(make_entry(), [make_charge(1, account="OTHER")], LATER) is None, "another can"


@pytest.mark.parametrize("change", DAMAGES)
def test_a_damaged_account_hides_no_other(two, damage, caplog, change):
    damage(f"UPDATE account SET {change} WHERE id = 'TEAM'")
    for _ in range(2):
        assert [found.account for found in two.balances(SOON)] == ["OTHER"]
    [told] = [record.getMessage() for record in caplog.records]
    assert "the budget account 'TEAM' is left as it is" in told


@pytest.mark.parametrize("number", ["'many'", "1.5"])
@pytest.mark.parametrize("column", ["input_tokens", "nano_usd"])
def test_a_damaged_entry_is_named(sqlite_ledger, damage, make_entry, column, number):
    sqlite_ledger.settle(make_entry("odd"), [])
    damage(f"UPDATE entry SET {column} = {number}")
    with pytest.raises(LedgerDamaged, match=f"{column} of call 'odd' is"):
        list(sqlite_ledger.entries())
