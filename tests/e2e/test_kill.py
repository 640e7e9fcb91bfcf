"""A process killed in the middle of calls leaves every one of them in the books, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[1] / "tools" / "kill_calls.py"


def test_killed_processes_lose_nothing_and_double_nothing() -> None:
    result = subprocess.run([sys.executable, str(TOOL), "--times", "20"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 missing, 0 double" in result.stdout
    assert " 0 calls seen" not in result.stdout
