"""All PromQL of the generated dashboards, for tests: which expressions there are, and what Grafana makes of their variables."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
NAMES = ("spend", "operations", "books", "guard")
"""The dashboards: one module and one generated file each."""

_VARIABLES = {"$service": ".*", "$activity": ".*", "$__rate_interval": "5m", "$__range": "1h", "${datasource}": "datasource"}


@dataclass(frozen=True)
class Expression:
    """One expression of one panel."""

    dashboard: str
    panel: str
    ref: str
    text: str
    """As it is in the file, with Grafana's variables."""

    def filled(self, **variables: str) -> str:
        """What Grafana would send: everything selected, the last hour. ``variables`` change values, as in ``service="shop"``."""
        values = {**_VARIABLES, **{f"${name}": value for name, value in variables.items()}}
        return re.sub(r"\$\{?\w+\}?", lambda found: values.get(found[0], found[0]), self.text)

    def __str__(self) -> str:
        return f"{self.dashboard}/{self.panel}/{self.ref}"


def everything() -> list[Expression]:
    """The expressions of all dashboards, in the order of the panels."""
    return [expression for name in NAMES for expression in of(name, json.loads((HERE / f"{name}.json").read_text()))]


def of(name: str, dashboard: dict[str, Any]) -> Iterator[Expression]:
    """The expressions of one dashboard."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Expression(name, panel["title"], target["refId"], target["expr"])


_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAME_MATCHER = re.compile(r'__name__=~?"([^"]*)"')
_NOT_METRICS = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"  # lists of labels
    r"|\{[^}]*\}|\[[^\]]*\]|\b(?:offset|@)\s+\S+"  # matchers, windows
)
_KEYWORDS = frozenset({"and", "or", "unless", "bool", "inf", "nan"})


def metrics(text: str) -> set[str]:
    """The metrics that an expression names, also those in ``{__name__=~"a|b"}``. ``text`` has its variables filled in."""
    named = {name for names in _NAME_MATCHER.findall(text) for name in names.split("|")}
    bare = _NOT_METRICS.sub(" ", _STRINGS.sub('""', text))
    words = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])", bare)
    return named | {word for word in words if word.lower() not in _KEYWORDS}
