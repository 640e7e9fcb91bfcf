"""Writes the dashboards: ``python -m dashboards.generate`` in the root of the repository."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.expressions import HERE, NAMES


def text(name: str) -> str:
    """One dashboard as Grafana reads it."""
    board = import_module(f"dashboards.{name}").build()
    plain = json.loads(JSONEncoder().encode(board))
    _forget_the_old(plain)
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _forget_the_old(board: dict[str, Any]) -> None:
    """The SDK writes defaults that Grafana 13 does not know any more."""
    for variable in board["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for panel in board["panels"]:
        panel.get("options", {}).pop("footer", None)


def main() -> None:
    """Writes all of them beside this file."""
    for name in NAMES:
        (HERE / f"{name}.json").write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
