"""An application that forks right after its imports, as pre-forking servers do."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
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


LOCKED = """
import os, signal, sys
sys.path.insert(0, {tools!r})
import locked_sqlite
if not locked_sqlite.at_forks():
    sys.exit("not here")

import openai

def ask(what):
    openai.OpenAI().chat.completions.create(model="gpt-4-turbo", messages=[{{"role": "user", "content": what}}])
    print(what)

ask("parent")
if pid := os.fork():
    print(os.waitpid(pid, 0)[1])
else:
    signal.alarm(60)
    ask("child")
    ask("child again")
"""


def test_a_child_that_finds_sqlite_locked_goes_on_and_its_calls_are_booked_later(application: Application) -> None:
    program = LOCKED.format(tools=str(Path(__file__).parents[1] / "tools"))
    done = application.run("opentelemetry-instrument", "python", "-c", program)
    if "not here" in done.stderr:
        pytest.skip("this Python keeps SQLite's mutexes to itself, so that they cannot be locked from outside")
    assert done.stdout.split("\n") == ["parent", "child", "child again", "0", ""], done.stderr
    assert "SQLite does not answer in this process" in done.stderr
    assert application.instrumented().returncode == 0  # a later process
    with sqlite3.connect(application.ledger) as db:
        assert db.execute("SELECT usage_state FROM entry WHERE model = 'gpt-4-turbo'").fetchall() == [("exact",)] * 3


PATCHED_WORKER = """
import os, signal, time
import spanledger

spanledger.instrument()

@spanledger.plugin
def look_up(what):
    time.sleep(0.01)
    return what

look_up("parent")
if pid := os.fork():
    print(os.waitpid(pid, 0)[1])
else:
    signal.alarm(60)
    from gevent import monkey
    monkey.patch_all()
    import gevent
    asked = [gevent.spawn(look_up, str(number)) for number in range(8)]
    gevent.joinall(asked)
    print([one.value for one in asked] == list("01234567"))
"""


def test_a_worker_that_gevent_patches_after_it_was_forked(application: Application) -> None:
    """As gunicorn's, with ``--preload``: locks from before are those of threads, while all its threads share one.

    No client library takes part: gevent cannot patch where an old one of openai or anthropic was imported, and their locks would stay, too.
    """
    done = application.run("python", "-W", "ignore", "-c", PATCHED_WORKER)
    assert done.stdout.split() == ["True", "0"], done.stderr
    assert "cannot be reached" not in done.stderr
    with sqlite3.connect(application.ledger) as db:
        assert db.execute("SELECT usage_state, count(*) FROM entry").fetchall() == [("exact", 9)]
