"""Real stacks on free ports, and the command line as a user calls it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.stack.ports import Ports
from spanledger.stack.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger that the audit service opens, and the state of whoever forgets ``--dir``, are the test's own."""
    monkeypatch.setenv("SPANLEDGER_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SPANLEDGER_STACK_DIR", raising=False)


@pytest.fixture
def make_stack(own_places: None, tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Makes stacks, each in a directory and on ports of its own; they are stopped at the end of the test."""
    made: list[Stack] = []

    def make(name: str = "stack", ports: Ports | None = None, configuration: Path | None = None) -> Stack:
        made.append(Stack(tmp_path / name, ports or Ports.free(), configuration))
        return made[-1]

    yield make
    for stack in made:
        stack.stop()


@pytest.fixture
def spanledger(own_places: None) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``spanledger`` with arguments in a process of its own, and returns what came out."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spanledger.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, **environment})

    return run


@pytest.fixture
def spanledger_json(spanledger: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Any]:
    """The same with ``--json``; the command must succeed."""

    def run(*arguments: object) -> Any:
        result = spanledger(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run
