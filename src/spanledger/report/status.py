"""Is it set up? What is in force here, what is broken, and how to mend it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spanledger import exporters
from spanledger.budgets.rule import describe, parse_all, without
from spanledger.errors import ConfigurationError, LedgerError, LedgerTooOld
from spanledger.ledger.open import open_ledger, sqlite_path
from spanledger.ledger.place import check_creatable, is_there
from spanledger.pricing.book import PriceBook
from spanledger.report import words
from spanledger.settings import BUDGET_PREFIX, VARIABLES, export_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from spanledger.settings import Settings


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``fix`` says what to do when it is not right."""

    name: str
    ok: bool
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Status:
    """Everything ``spanledger status`` tells."""

    version: str
    checks: list[Check]
    libraries: Sequence[Mapping[str, Any]]
    settings: list[dict[str, Any]]
    installed: bool = True
    """Whether libraries were patched to try it; without that nothing is known of them."""

    @property
    def ok(self) -> bool:
        """Whether all that is configured works."""
        return all(check.ok for check in self.checks)


def gather(settings: Settings, installed: Mapping[str, Any], now: float) -> Status:
    """Looks at everything once. Nothing is changed.

    Args:
        settings: what is in force.
        installed: what ``spanledger.install.status()`` tells of an installation with these settings.
        now: seconds since the epoch.
    """
    known = [*settings.problems, *parse_all(settings.budgets)[1]]
    others = [text for text in installed["problems"] if text not in {str(problem) for problem in known}]
    checks = [
        *_turned_off(settings, installed),
        *map(_problem, exporters.missing(export_environment())),
        *(_problem(problem) for problem in settings.problems),
        *map(_told, others),
        *map(_plugin, installed["plugins"]),
        *_budgets(settings),
        _ledger(settings, now),
        *_prices(settings),
    ]
    return Status(version("spanledger"), checks, installed["libraries"], _in_force(settings), installed["installed"])


def _turned_off(settings: Settings, installed: Mapping[str, Any]) -> list[Check]:
    """What keeps all of it from working, whatever the other checks say."""
    if not settings.enabled:
        return [Check("SPANLEDGER_ENABLED", ok=True, text=f"false, so all of Spanledger is off here: {_OFF}")]
    if not installed["installed"]:
        return [
            Check("spanledger", ok=False, text=f"could not be installed: {_OFF}", fix="run a program with SPANLEDGER_DEBUG=true to see why")
        ]
    if {"spanledger", "*"}.intersection(settings.disabled):
        text = f"leaves out Spanledger, with opentelemetry-instrument and with spanledger run: {_OFF}"
        return [Check(_DISABLED, ok=False, text=text, fix="take spanledger, or *, out of it")]
    return []


_OFF = "no call is in the books, and no budget holds"
_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


def _problem(problem: ConfigurationError) -> Check:
    return Check(problem.where, ok=False, text=problem.problem, fix=f"expected {problem.expected}")


def _told(text: str) -> Check:
    """A ``ConfigurationError`` of which there is only the text left."""
    where, _, rest = text.partition(": ")
    problem, _, expected = rest.rpartition("; expected ")
    return Check(where, ok=False, text=problem, fix=f"expected {expected}")


def _plugin(target: str) -> Check:
    text = f"{target}: its package can be found from here; what is in it is seen when a program imports it"
    return Check("SPANLEDGER_PLUGINS", ok=True, text=text)


def _budgets(settings: Settings) -> list[Check]:
    rules, problems = parse_all(settings.budgets)
    good = [Check(BUDGET_PREFIX + rule.name, ok=True, text=describe(rule)) for rule in rules]
    if not settings.budgets:
        good = [Check("budgets", ok=True, text=f'none; set one as in {BUDGET_PREFIX}DAY="20 USD per day"')]
    consequence = without(strict=settings.strict)
    return [*good, *(Check(p.where, ok=False, text=f"{p.problem}; {consequence}", fix=f"expected {p.expected}") for p in problems)]


def _ledger(settings: Settings, now: float) -> Check:
    try:
        path = sqlite_path(settings.ledger_url)
        if path is not None and not is_there(path):
            return _no_ledger_yet(settings, path)
        ledger = open_ledger(settings.ledger_url, migrate=False)
        accounts, leases, unsettled = len(ledger.balances(now)), ledger.open_leases(), ledger.unsettled(now)
        calls = sum(total.calls for total in ledger.totals())
        ledger.close()
    except ConfigurationError as error:
        return _problem(error)
    except LedgerTooOld as older:
        return Check("ledger", ok=True, text=f"{older}; {_NEXT_MIGRATES}")
    except LedgerError as error:
        instead = _REFUSED if settings.on_ledger_error == "block" else _IN_MEMORY
        return Check("ledger", ok=False, text=f"{error}; {instead}", fix=_LEDGER_FIX)
    if path is None:
        return Check("ledger", ok=True, text=_EACH_ITS_OWN)
    under_way = f"{leases - unsettled.calls:,} calls under way"
    found = filter(None, (f"{calls:,} calls in the books", f"{accounts:,} budget accounts", under_way, words.unsettled(unsettled)))
    return Check("ledger", ok=True, text=f"{settings.ledger_url}: {', '.join(found)}")


def _no_ledger_yet(settings: Settings, path: Path) -> Check:
    if settings.sources["ledger"] == "--ledger":
        return Check(
            "ledger", ok=False, text=f"--ledger: there is no file {path}", fix="name the ledger of a program that has run with Spanledger"
        )
    check_creatable(path)
    return Check("ledger", ok=True, text=f"{path}: not there yet; the first program that runs with Spanledger creates it")


_EACH_ITS_OWN = "memory: every process has books and budgets of its own, which no command can read and which end with it"
_NEXT_MIGRATES = (
    "the first program that runs with this version brings them up to date, and then programs with older versions cannot open it any more"
)
_IN_MEMORY = "until then every process keeps its books in memory: others do not see its budgets, and reports do not see its calls"
_REFUSED = "until then every call is refused, because SPANLEDGER_ON_LEDGER_ERROR is block"
_LEDGER_FIX = "set SPANLEDGER_LEDGER to a place that can be written, as in sqlite:////var/lib/myapp/ledger.db"


def _prices(settings: Settings) -> list[Check]:
    book = PriceBook(settings.prices, settings.prices_ttl)
    found = book.status()
    told = ", ".join(f"{name} {value}" for name, value in found.items() if value not in ("none", "never") and name != "file problems")
    usable = not found["version"].startswith("not usable")
    check = Check(
        "prices", usable, told, "install the version of genai-prices that Spanledger asks for: pip install --force-reinstall spanledger"
    )
    return [check, *(_problem(problem) for problem in book.problems)]


def _in_force(settings: Settings) -> list[dict[str, Any]]:
    return [
        {"variable": variable.name, "value": _shown(variable.field, variable.secret, settings), "source": settings.sources[variable.field]}
        for variable in VARIABLES
    ]


def _shown(field: str, secret: bool, settings: Settings) -> str | None:
    value = settings.ledger_url if field == "ledger" else getattr(settings, field)
    if value is None or value == ():
        return None
    if secret:
        return "(set, not shown)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(value) if isinstance(value, tuple) else without_password(str(value))


def without_password(url: str) -> str:
    """A URL that can be printed: ``redis://user:***@host``."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)


def status_json(status: Status) -> dict[str, Any]:
    """The status for programs."""
    return {
        "version": status.version,
        "ok": status.ok,
        "checks": [asdict(check) for check in status.checks],
        "libraries": [dict(library) for library in status.libraries],
        "settings": status.settings,
    }


def status_view(status: Status) -> RenderableType:
    """The status for the terminal: checks first, what is broken with its remedy."""
    return Group(
        Text(f"Spanledger {status.version}\n", style="bold"),
        *(part for check in status.checks for part in _check(check)),
        Text("\nLibraries", style="bold"),
        _libraries(status.libraries) if status.installed else Text("not looked at: Spanledger is not installed into them"),
        Text("\nSettings", style="bold"),
        _settings(status.settings),
    )


def _check(check: Check) -> list[RenderableType]:
    mark = Text("ok      ", style="green") if check.ok else Text("broken  ", style="bold red")
    line = Table.grid(padding=0)
    line.add_row(mark, Text.assemble((check.name, "bold"), f"  {check.text}", overflow="fold"))
    return [line] if check.ok else [line, Padding(Text(f"to mend it: {check.fix}", style="yellow"), (0, 0, 0, 8))]


def _libraries(libraries: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not libraries:
        return Text("none of the supported client libraries is installed in this environment")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("library", "version", "supported", "state", "patched", "absent"):
        table.add_column(name, overflow="fold")
    for library in libraries:
        absent = ", ".join(library["absent"])
        cells = (library["library"], library["version"], library["supported"], library["state"], len(library["patched"]))
        table.add_row(*(Text(str(cell or "-")) for cell in cells), Text(absent or "-", style="yellow" if absent else ""))
    return table


def _settings(settings: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("variable", "value", "from"):
        table.add_column(name, overflow="fold")
    for setting in settings:
        source = "environment" if setting["source"] == setting["variable"] else setting["source"]
        table.add_row(Text(setting["variable"]), Text(setting["value"] or "-"), source, style="dim" if source == "default" else "")
    return table
