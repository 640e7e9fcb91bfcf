"""What docs/privacy.md says of files, and its statements that delete, on books that a program wrote."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from filled_books import in_json

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import openai, spanledger
with spanledger.workflow("answer", customer="acme", user="u-4711"):
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Mail jane.roe@example.com"}])
with spanledger.workflow("answer", customer="acme", user="u-4712"):
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])
"""


NOT_BOOKED = """
import contextlib, openai, spanledger
with spanledger.workflow("look", user="u-4711"):
    pass
with contextlib.suppress(spanledger.BudgetExceeded), spanledger.scope(user="u-4711"):
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", max_tokens=10**8, messages=[{"role": "user", "content": "Hello"}])
"""


@pytest.fixture
def books(tmp_path: Path, provider: Any) -> Path:
    """The ledger of a program whose users have budgets, in a directory that was not there."""
    ledger = tmp_path / "new" / "deep" / "ledger.db"
    run(PROGRAM, ledger, provider)
    return ledger


def run(program: str, ledger: Path, provider: Any) -> None:
    variables = {
        "OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "local", "SPANLEDGER_LEDGER": f"sqlite:///{ledger}",
        "SPANLEDGER_BUDGET_USER": "5 USD per user per day", "SPANLEDGER_BUDGET_BOTH": "5 USD per customer and user per day",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
    }  # fmt: skip
    command = [sys.executable, "-m", "spanledger.cli", "run", "--", "python", "-c", program]
    subprocess.run(command, env={**os.environ, **variables}, check=True, timeout=60)


def statements(root: Path, heading: str) -> str:
    """The SQL below the line that begins so."""
    page = (root / "docs" / "privacy.md").read_text()
    found = re.search(rf"^{heading}.*?```sql\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_books_are_for_their_owner_alone_and_hold_what_the_page_says(books: Path) -> None:
    with closing(sqlite3.connect(books)) as db:
        modes = {path.stat().st_mode & 0o777 for path in books.parent.iterdir()}
        kept = "\n".join(db.iterdump())

    assert modes == {0o600}
    assert books.parent.stat().st_mode & 0o777 == books.parent.parent.stat().st_mode & 0o777 == 0o700
    assert "jane.roe" not in kept
    assert "[EMAIL]" in kept
    assert "u-4711" in kept


def test_one_person_can_be_deleted_and_the_sums_stay(books: Path, root: Path) -> None:
    before = in_json("report", "--ledger", f"sqlite:///{books}")["total"]
    with closing(sqlite3.connect(books, isolation_level=None)) as db:
        db.executescript(statements(root, "One person"))

    assert b"u-4711" not in b"".join(path.read_bytes() for path in books.parent.iterdir())
    assert b"u-4712" in books.read_bytes()
    assert in_json("report", "--ledger", f"sqlite:///{books}")["total"] == before
    scopes = {account["scope"] for budget in in_json("budgets", "--ledger", f"sqlite:///{books}") for account in budget["accounts"]}
    assert scopes == {"user=u-4712", "customer=acme, user=u-4712"}


def test_one_person_is_deleted_from_traces_without_a_call_in_the_books(books: Path, root: Path, provider: Any) -> None:
    run(NOT_BOOKED, books, provider)
    with closing(sqlite3.connect(books, isolation_level=None)) as db:
        db.executescript(statements(root, "One person"))

    assert b"u-4711" not in b"".join(path.read_bytes() for path in books.parent.iterdir())
    assert b"u-4712" in books.read_bytes()


def test_the_accounts_of_another_person_stay(books: Path, root: Path) -> None:
    with closing(sqlite3.connect(books, isolation_level=None)) as db:
        before = db.execute("SELECT count(*) FROM account").fetchone()
        db.executescript(statements(root, "One person").replace("u-4711", "u_4711"))

        assert db.execute("SELECT count(*) FROM account").fetchone() == before


def test_calls_from_before_a_day_can_be_deleted(books: Path, root: Path) -> None:
    url = f"sqlite:///{books}"
    for day, calls in (("2026-01-01", 2), ("2100-01-01", 0)):
        with closing(sqlite3.connect(books, isolation_level=None)) as db:
            db.executescript(statements(root, "Spans, or calls").replace("2026-01-01", day))
            left = [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("span", "entry", "execution")]

        assert left == [2 * calls, calls, calls]
        assert in_json("report", "--ledger", url)["total"]["consumed"]["calls"] == calls
