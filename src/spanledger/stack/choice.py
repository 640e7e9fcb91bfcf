"""What a stack was started with, written down beside its state for as long as it is up: a service that died comes back with the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from spanledger import private
from spanledger.stack import processes
from spanledger.stack.ports import Ports


class Choice(NamedTuple):
    """What somebody asked for, or what is in use; None is the default."""

    ports: Ports | None = None
    configuration: Path | None = None

    def over(self, other: Choice) -> Choice:
        """What is None here is taken from there."""
        return Choice(self.ports or other.ports, self.configuration or other.configuration)


def remembered(run: Path) -> Choice:
    """The choice in use; nothing if the stack is not up."""
    value = processes.read_json(_file(run))
    try:
        return Choice(Ports(**value["ports"]), Path(value["configuration"]) if value["configuration"] else None)
    except (KeyError, TypeError):
        return Choice()  # there is none, or it is of another version


def remember(run: Path, choice: Choice) -> None:
    """Writes it down. Raises OSError."""
    ports, configuration = choice.ports or Ports(), choice.configuration
    private.write(_file(run), json.dumps({"ports": ports.as_dict(), "configuration": str(configuration) if configuration else None}))


def forget(run: Path) -> None:
    """The stack is down. Raises OSError."""
    _file(run).unlink(missing_ok=True)


def _file(run: Path) -> Path:
    return run / "stack.json"
