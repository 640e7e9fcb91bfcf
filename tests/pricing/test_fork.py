"""A process that forks while another of its threads loads prices."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PROGRAM = """
import os, signal, sys, threading
from pathlib import Path
from spanledger import fork
from spanledger.model import Usage
from spanledger.pricing import catalogue
from spanledger.pricing.book import PriceBook

loading, goes_on = threading.Event(), threading.Event()


def in_between(event, arguments):
    # A module is executed by the thread that imports it and holds its lock.
    if event == "exec" and arguments[0].co_filename.endswith(sys.argv[1]):
        loading.set()
        goes_on.wait()


sys.addaudithook(in_between)
book = PriceBook(Path(sys.argv[2]))
{at_fork}
threading.Thread(target=book.warm, daemon=True).start()
loading.wait()
if pid := os.fork():
    print("child ended with", os.waitpid(pid, 0)[1])
    sys.stdout.flush()
    os._exit(0)
signal.alarm(30)
cost = book.price("openai", "gpt-4o", Usage(10, 10), when=1.8e9)
print(cost.source, book.plugin("tool"), *book.problems, flush=True)
os._exit(0)
"""


def _run(module: str, at_fork: str, tmp_path: Path) -> list[str]:
    prices = tmp_path / "prices.yaml"
    prices.write_text("plugins: {tool: 7 tokens}")
    command = [sys.executable, "-c", PROGRAM.format(at_fork=at_fork), module, str(prices)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout.splitlines()


@pytest.mark.parametrize("module", ["genai_prices/data.py", "yaml/__init__.py"])
def test_the_fork_waits_until_they_are_loaded(module: str, tmp_path: Path) -> None:
    assert _run(module, "os.register_at_fork(before=goes_on.set)  # it runs before what was registered earlier", tmp_path) == [
        "genai-prices (<Unit.TOKENS: 'tokens'>, 7)",
        "child ended with 0",
    ]


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("genai_prices/data.py", "None (<Unit.TOKENS: 'tokens'>, 7)"),
        ("yaml/__init__.py", "genai-prices None {path}: was being read by another thread"),
    ],
)
def test_but_not_for_ever_and_the_child_does_without(module: str, told: str, tmp_path: Path) -> None:
    first, last = _run(module, "fork._PATIENCE = 0.01", tmp_path)
    assert first.startswith(told.format(path=tmp_path / "prices.yaml"))
    assert last == "child ended with 0"
