"""What happens beside the application while it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

PROGRAM = """
import sys, threading
import spanledger


class Watch:
    # Asked for every module that is not loaded yet, in the thread that imports it.
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("httpx2", "httpx", "openai", "anthropic") and threading.current_thread() is not threading.main_thread():
            print("imported in", threading.current_thread().name, name)


sys.meta_path.insert(0, Watch())
spanledger.instrument()
import {library}
{use}
for thread in threading.enumerate():
    if thread.name == "spanledger-prices":
        thread.join()
print("prices loaded", "genai_prices.data" in sys.modules)
"""


def _start(library: str, use: str, tmp_path: Any) -> str:
    environ = {**os.environ, "SPANLEDGER_LEDGER": "memory:", "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM.format(library=library, use=use)]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_client_library_finds_another_half_imported(tmp_path: Any) -> None:
    """openai asks ``sys.modules`` for httpx2 for every client it makes, and fails if another thread is just importing it."""
    assert _start("openai", "openai.OpenAI(api_key='none').chat.completions", tmp_path) == "prices loaded True\n"


def test_nor_with_anthropic(tmp_path: Any) -> None:
    assert _start("anthropic", "anthropic.Anthropic(api_key='none').messages", tmp_path) == "prices loaded True\n"
