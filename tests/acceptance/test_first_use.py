"""A program may use any of our names before it imports a client library: from then on, at the latest, it is recorded."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

import spanledger

if TYPE_CHECKING:
    from conftest import Application

PROGRAM = """
import spanledger
spanledger.{name}

import openai
openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{{"role": "user", "content": "hello"}}])
"""


@pytest.mark.parametrize("name", spanledger.__all__)
def test_a_name_of_ours_comes_first(application: Application, name: str) -> None:
    done = application.run("opentelemetry-instrument", "python", "-c", PROGRAM.format(name=name))
    assert done.returncode == 0, done.stderr
    assert "could not be installed" not in done.stderr
    with sqlite3.connect(application.ledger) as db:
        assert db.execute("SELECT count(*) FROM entry").fetchone() == (1,)
