"""An application that forks right after its imports, as pre-forking servers do."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Application

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PROGRAM = """
import os, signal
import spanledger

spanledger.instrument()
import {library}
{load}

if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
else:
    signal.alarm(60)
    {call}
    from spanledger import install
    install.uninstrument()
    os._exit(0)
"""
OPENAI = (
    "openai",
    "import openai.resources.chat.completions",
    "openai.OpenAI().chat.completions.create(model='gpt-4o', messages=[{'role': 'user', 'content': 'hi'}])",
)
ANTHROPIC = (
    "anthropic",
    "import anthropic.resources.messages.messages",
    "anthropic.Anthropic().messages.create(model='claude-haiku-4-5', max_tokens=9, messages=[{'role': 'user', 'content': 'hi'}])",
)


@pytest.mark.parametrize(("library", "load", "call"), [OPENAI, ANTHROPIC])
def test_the_childs_first_call_is_answered_counted_and_priced(application: Application, library: str, load: str, call: str) -> None:
    settings = {"ANTHROPIC_API_KEY": "local", "ANTHROPIC_BASE_URL": application.provider.url}
    done = application.run("python", "-c", PROGRAM.format(library=library, load=load, call=call), **settings)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(application.ledger) as db:
        assert db.execute("SELECT provider, price_source FROM entry").fetchall() == [(library, "genai-prices")]
