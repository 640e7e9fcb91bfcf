"""What all commands have in common: the ledger they look at, what they print, and how they fail."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filled_books import QUARTER, TEAM, book, entry, span, spanledger

from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from spanledger.ledger.ledger import Ledger
    from spanledger.ledger.spans import SpanStore


@pytest.mark.parametrize("command", ["report", "trace", "budgets"])
def test_a_ledger_that_nobody_else_can_read_is_one_clear_line(command: str) -> None:
    result = spanledger(command, "--ledger", "memory:")

    assert result.exit_code == 2
    assert result.stderr.startswith("spanledger: --ledger: memory: belongs to one process")
    assert result.stderr.count("\n") == 1


READERS = ["report", "trace", "budgets", "reconcile", "ledger export --once", "audit list", "audit verify"]


@pytest.mark.parametrize("command", READERS)
def test_a_mistyped_ledger_is_told_and_not_created(command: str, tmp_path: Path) -> None:
    result = spanledger(*command.split(), "--ledger", f"sqlite:///{tmp_path}/typo/ledger.db")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"spanledger: --ledger: there is no file {tmp_path}/typo/ledger.db; expected the ledger of a program")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", READERS)
def test_looking_at_books_that_are_not_there_yet_creates_nothing(command: str, tmp_path: Path) -> None:
    result = spanledger(*command.split())

    assert result.exit_code == (0 if command in {"report", "budgets", "audit list", "audit verify"} else 2)
    assert list(tmp_path.iterdir()) == []
    if command in {"reconcile", "ledger export --once"}:
        assert result.stderr.startswith(
            f"spanledger: SPANLEDGER_LEDGER: there is no file {tmp_path}/ledger.db; expected the ledger of a program"
        )


@pytest.mark.parametrize("command", READERS)
def test_a_relative_path_is_found_by_all(command: str, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book(ledger, entry("a"))
    whole = spanledger(*command.split())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPANLEDGER_LEDGER", "sqlite:///ledger.db")

    result = spanledger(*command.split())

    assert (result.exit_code, result.stdout) == (whole.exit_code, whole.stdout)
    assert isinstance(result.exception, SystemExit | None)


def test_looking_at_the_books_writes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    book(ledger, entry("a"))
    written = [path for path in tmp_path.iterdir() if path.suffix != ".db-shm"]  # the locks of readers are in that one
    before = [path.read_bytes() for path in written]

    for command in ("report", "budgets", "trace"):
        spanledger(command)

    assert [path.read_bytes() for path in written] == before


def test_what_others_named_cannot_command_the_terminal(ledger: Ledger, spans: SpanStore) -> None:
    evil = "\x1b[31mred\x1b]0;title\x07\u202e\r\nx"
    shown = r"\x1b[31mred\x1b]0;title\x07\u202e\r\nx"
    hold = replace(TEAM, scope=f"customer={evil}")
    book(ledger, entry("1", keys={"customer": evil}), charges=((hold, 1),))
    attributes = {s.ERROR_TYPE: evil, s.INPUT_MESSAGES: evil}
    spans.save([span(evil, f"{'1':0>16}", attributes=attributes, resource={"service.name": evil})])

    printed = [spanledger(*command).stdout for command in (("report", "--by", "customer"), ("budgets",), ("trace",))]

    assert all(shown in text for text in printed)
    assert not any(char in text for text in printed for char in "\x1b\x07\u202e\r")


def test_a_file_that_is_no_ledger_is_one_clear_line(tmp_path: Any) -> None:
    (tmp_path / "ledger.db").write_text("this is not a database, it is a letter to my grandmother" * 20)

    result = spanledger("report")

    assert result.exit_code == 2
    assert "ledger.db" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("damage", "command"),
    [
        ("UPDATE entry SET activity = 'of a later version'", "trace"),
        ("UPDATE entry SET usage_state = 'of a later version'", "reconcile"),
        ("UPDATE entry SET other_keys = '{'", "trace --json"),
        ("UPDATE entry SET nano_usd = 'much'", "report"),
        ("UPDATE entry SET input_tokens = 1.5", "report --json"),
        ("UPDATE entry SET input_tokens = 'many'", "trace"),
        ("UPDATE span SET attributes = '{'", "trace"),
    ],
)
def test_a_row_that_cannot_be_read_is_one_clear_line(ledger: Ledger, spans: SpanStore, tmp_path: Path, damage: str, command: str) -> None:
    book(ledger, entry("1"), charges=(QUARTER,))
    spans.save([span("chat", f"{'1':0>16}", attributes={s.ENTRY_ID: "1", s.COUNTED: True})])
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db, db:
        db.execute(damage)

    result = spanledger(*command.split())

    assert result.exit_code == 2
    assert result.stderr.startswith("spanledger: the ledger has a row that cannot be read")
    assert result.stderr.count("\n") == 1


def test_version_and_help() -> None:
    assert spanledger("--version").stdout.startswith("spanledger ")
    shown = spanledger("--help").stdout
    assert all(f"\n  {command} " in shown for command in ("run", "status", "report", "trace", "budgets"))


@pytest.mark.parametrize("command", ["report", "trace", "budgets", "status", "reconcile"])
def test_a_bad_ledger_is_told_by_the_name_it_was_given_with(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    by_option = spanledger(command, "--ledger", "postgres:x")
    monkeypatch.setenv("SPANLEDGER_LEDGER", "postgres:x")
    by_variable = spanledger(command)

    assert by_option.exit_code == 2
    assert by_option.stderr.startswith("spanledger: --ledger: a ledger in postgres: is not available in this version; expected memory: or")
    assert "SPANLEDGER_LEDGER" in by_variable.output
    assert "--ledger" not in by_variable.output


COMMANDS = ["report --by customer", "trace", "budgets", "status", "audit list", "collector path"]


@pytest.fixture
def foreign_names(ledger: Ledger, spans: SpanStore) -> None:
    """Books with names that few encodings have."""
    name = "Müller 株式会社 😀"
    book(ledger, entry("1", keys={"customer": name}), charges=((replace(TEAM, scope=f"customer={name}"), 1),))
    spans.save([span(f"chat {name}", f"{'1':0>16}")])


def in_process(command: str, stdout: Any = subprocess.PIPE, **variables: str) -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-m", "spanledger.cli", *command.split()]
    return subprocess.run(program, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **variables}, timeout=60, check=False)


@pytest.mark.usefixtures("foreign_names")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_encoding_of_a_terminal_will_do(encoding: str) -> None:
    for command in COMMANDS[:3]:
        shown = in_process(command, PYTHONIOENCODING=encoding)
        told = in_process(f"{command} --json", PYTHONIOENCODING=encoding)

        assert shown.returncode == told.returncode == 0, shown.stderr + told.stderr
        assert shown.stdout.decode(encoding).strip()
        assert "Müller 株式会社 😀" in json.dumps(json.loads(told.stdout.decode(encoding)), ensure_ascii=False)
    assert "M\\xfcller" in in_process("report --by customer", PYTHONIOENCODING="ascii").stdout.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.usefixtures("foreign_names")
@pytest.mark.parametrize("command", [*COMMANDS, *(f"{command} --json" for command in COMMANDS)])
def test_a_full_disk_behind_standard_output_is_one_line(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = in_process(command, full)

    assert done.returncode == 2
    assert done.stderr.decode() == (
        "spanledger: standard output cannot be written: No space left on device; what was printed is not complete\n"
    )
