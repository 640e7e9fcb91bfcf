"""The interpreter's exit, a fork, and a process that stops with a stream open."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from spanledger.ledger.sqlite import SqliteLedger

PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
import exitlib, spanledger
from spanledger.engine.adapter import Adapter, Reader, Target
from spanledger.model import Activity, Request, Usage
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"{{span.name}} {{span.attributes['spanledger.outcome']}}\\n")))
trace.set_tracer_provider(provider)


def chunk(event, into):
    into.text.append(event)


reader = Reader(
    request=lambda i, a, k: Request("chat", Activity.LLM, "openai", "m", stream=True, content="hello"),
    response=lambda r, into: None,
    chunk=chunk,
)
spanledger.instrument(adapters=[Adapter("exitlib", "exitlib", (Target("exitlib", "stream", reader),))])
held = exitlib.stream()
next(held)
{ending}
"""

LIBRARY = "class Stream:\n    def __iter__(self):\n        return self\n    def __next__(self):\n        return 'some words here'\n\ndef stream():\n    return Stream()\n"


def _run(tmp_path: Any, ending: str) -> tuple[subprocess.CompletedProcess[str], list[Any]]:
    (tmp_path / "exitlib.py").write_text(LIBRARY)
    ledger = tmp_path / "ledger.db"
    environ = {**os.environ, "SPANLEDGER_LEDGER": f"sqlite:///{ledger}", "XDG_STATE_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(folder=str(tmp_path), ending=ending)], env=environ, capture_output=True, text=True, timeout=60
    )
    books = SqliteLedger(ledger)
    entries = list(books.entries())
    books.close()
    return result, entries


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise ValueError"])
def test_a_stream_held_at_exit_is_in_the_books_and_exported(tmp_path: Any, ending: str) -> None:
    result, entries = _run(tmp_path, ending)
    assert [(entry.usage.state.value, entry.usage.output) for entry in entries] == [("estimated", entries[0].usage.output)]
    assert entries[0].usage.output > 0
    assert "chat m exit" in result.stdout
    assert result.returncode == {"": 0, "sys.exit(3)": 3}.get(ending, 1)


def test_a_forked_child_counts_its_own_calls_only(tmp_path: Any) -> None:
    ending = """
import os
pid = os.fork()
if pid == 0:
    for _ in exitlib.stream():
        break
    sys.exit(0)
os.waitpid(pid, 0)
"""
    result, entries = _run(tmp_path, ending)
    assert result.returncode == 0, result.stderr
    assert len(entries) == 2, "the parent's held stream and the child's"
    assert len({entry.id for entry in entries}) == 2


def test_a_forked_child_that_drops_an_inherited_stream_leaves_the_call_to_its_parent(tmp_path: Any) -> None:
    ending = """
import gc, os
pid = os.fork()
if pid == 0:
    del held
    gc.collect()
    spanledger.flush()
    os._exit(0)
os.waitpid(pid, 0)
for _ in range(30):
    next(held)
"""
    _, entries = _run(tmp_path, ending)
    assert [entry.usage.output > 60 for entry in entries] == [True], "it is settled with all that the parent read"
