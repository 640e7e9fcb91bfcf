"""``spanledger audit list`` and ``verify``, on a chain that several processes wrote and that somebody tampered with."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from spanledger.audit import records
from spanledger.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger

WRITER = """
import sys
from spanledger.audit import records
from spanledger.ledger.sqlite import SqliteLedger

ledger = SqliteLedger(sys.argv[1])
sys.stdin.readline()
for number in range(50):
    records.write(ledger, records.discrepancy(execution=f"{sys.argv[2]}-{number}", differences={}, counts={}))
    records.write(ledger, records.discrepancy(execution=f"shared-{number}", differences={}, counts={}))
"""


def audit(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments])


@pytest.fixture
def chain(ledger: Ledger) -> Ledger:
    """Five records."""
    for number in range(1, 6):
        records.write(ledger, records.discrepancy(execution=f"run-{number}", differences={"llm": {"tokens": -number}}, counts={}))
    return ledger


@pytest.fixture
def tamper(tmp_path: Path) -> Any:
    """Does something to the file, behind the ledger's back; the triggers that forbid it are dropped first."""

    def work(*statements: str) -> None:
        with sqlite3.connect(tmp_path / "ledger.db") as db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'").fetchall():
                db.execute(f'DROP TRIGGER "{name}"')
            for statement in statements:
                db.execute(statement)
        db.close()

    return work


def test_four_processes_at_once_write_an_unbroken_chain(tmp_path: Path, ledger: Ledger) -> None:
    path = str(tmp_path / "ledger.db")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(number)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    said = [writer.communicate("go\n", timeout=120)[1] for writer in writers]
    assert ([writer.returncode for writer in writers], said) == ([0] * 4, [""] * 4)
    result = audit("verify", "--json")
    verdict = json.loads(result.stdout)
    assert (result.exit_code, verdict["whole"], verdict["records"]) == (0, True, 250)
    assert [record.sequence for record in ledger.audit()] == list(range(1, 251))


def test_verify_says_that_the_chain_is_whole(chain: Ledger) -> None:
    result = audit("verify")
    newest = list(chain.audit())[-1].hash
    assert result.exit_code == 0
    assert result.stdout == f"The chain is whole: records 1 to 5. The newest hash is {newest}; note it elsewhere, for verify --noted.\n"


@pytest.mark.parametrize("statement", ["UPDATE audit SET text = '{}'", "DELETE FROM audit", "UPDATE audit SET time = 0 WHERE sequence = 3"])
def test_the_file_refuses_changes(chain: Ledger, tmp_path: Path, statement: str) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as db, pytest.raises(sqlite3.IntegrityError, match="audit records are never"):
        db.execute(statement)
    db.close()
    assert audit("verify").exit_code == 0


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (("UPDATE audit SET text = replace(text, '-3', '-2') WHERE sequence = 3",), 3),
        (("UPDATE audit SET time = time + 0.001 WHERE sequence = 2",), 2),
        (("UPDATE audit SET key = key || 'x' WHERE sequence = 5",), 5),
        (("UPDATE audit SET hash = previous WHERE sequence = 4",), 4),
        (("DELETE FROM audit WHERE sequence = 3",), 4),
        (("DELETE FROM audit WHERE sequence = 1",), 2),
        (("DELETE FROM audit WHERE sequence = 3", "UPDATE audit SET sequence = sequence - 1 WHERE sequence > 3"), 3),
        (("UPDATE audit SET time = x'00ff' WHERE sequence = 2",), 2),  # no hash can be made of this
        (("UPDATE audit SET text = x'00ff' WHERE sequence = 1",), 1),
        (("INSERT INTO audit SELECT 6, time, 'new', text, hash, hash FROM audit WHERE sequence = 5",), 6),
    ],
)
def test_tampering_is_found(chain: Ledger, tamper: Any, statements: tuple[str, ...], broken: int) -> None:
    tamper(*statements)
    result, as_json = audit("verify"), audit("verify", "--json")
    assert (result.exit_code, as_json.exit_code) == (1, 1)
    assert result.stdout.startswith(f"The chain is broken at record {broken}: ")
    assert json.loads(as_json.stdout)["broken"] == broken


def test_what_was_cut_off_or_written_anew_is_found_by_a_noted_hash(chain: Ledger, tamper: Any) -> None:
    noted = list(chain.audit())[-1].hash
    assert audit("verify", "--noted", noted).exit_code == 0
    tamper("DELETE FROM audit WHERE sequence = 5")
    without, with_it = audit("verify"), audit("verify", "--noted", noted)
    assert (without.exit_code, with_it.exit_code) == (0, 1)
    assert with_it.stdout.startswith("No record has the hash that was noted. The 4 records that are there fit")


def test_a_file_that_cannot_be_read_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database" * 500)
    for command in ("verify", "list"):
        result = audit(command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "it is not a SQLite database" in result.stderr


def test_text_that_is_no_text_is_exit_code_2(chain: Ledger, tamper: Any) -> None:
    tamper("UPDATE audit SET text = CAST(x'ff' AS TEXT) WHERE sequence = 2")
    result = audit("verify")
    assert result.exit_code == 2
    assert result.stderr.startswith("spanledger: the ledger ")


def test_list(chain: Ledger, alert: Any) -> None:
    finding = records.from_alert(alert(summary="llm [bold]differs[/bold]"), "")
    assert finding is not None
    records.write(chain, finding)
    lines = [line.split() for line in audit("list").stdout.splitlines()]
    assert lines[0] == ["#", "written", "event", "what", "summary"]
    assert (lines[5][0], lines[5][4:]) == ("5", ["discrepancy", "execution", "run-5", "llm", "tokens", "-5"])
    assert (lines[6][0], lines[6][3:]) == ("6", ["UTC", "firing", "SpanledgerDiscrepancy", "llm", "[bold]differs[/bold]"])
    assert len(lines) == 7


def test_list_in_json(chain: Ledger) -> None:
    listed = json.loads(audit("list", "--json").stdout)
    assert [one["sequence"] for one in listed] == [1, 2, 3, 4, 5]
    assert listed[4]["record"]["scope"] == {"execution": "run-5"}
    assert listed[4]["previous"] == listed[3]["hash"]
    assert json.loads(listed[0]["text"]) == listed[0]["record"]


def test_list_since(ledger: Ledger) -> None:
    for age, name in ((3 * 86_400, "old"), (3_600, "new")):
        ledger.append_audit(time.time() - age, name, "{}")
    assert [one["key"] for one in json.loads(audit("list", "--since", "1d", "--json").stdout)] == ["new"]
    assert audit("list", "--since", "10m").stdout == "No audit record was written since then.\n"
    assert audit("list", "--since", "nonsense").exit_code == 2


def test_an_empty_audit_is_no_error() -> None:
    assert (audit("list").stdout, audit("list").exit_code) == ("There are no audit records.\n", 0)
    assert (audit("verify").stdout, audit("verify").exit_code) == ("There are no audit records.\n", 0)


def test_list_shows_also_what_was_tampered_with(chain: Ledger, tamper: Any) -> None:
    tamper(
        "UPDATE audit SET text = 'no json' WHERE sequence = 1", "UPDATE audit SET time = 'soon' WHERE sequence = 2",
        "UPDATE audit SET text = '[[[]]]' WHERE sequence = 3", """UPDATE audit SET text = '{"name": "\\u001b[2J"}' WHERE sequence = 4""",
    )  # fmt: skip
    result = audit("list")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("unreadable") == 2
    assert "no time" in result.stdout
    assert "\x1b" not in result.stdout
