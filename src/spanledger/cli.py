"""The command line: ``spanledger run | status | report | trace | budgets``, and the commands of ``spanledger.commands``.

Errors are one line on standard error and exit code 2; ``status`` exits with 1 if something that is configured is broken.
"""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import shutil
import sys
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spanledger import commands, exporters
from spanledger import settings as config
from spanledger.commands.common import (
    Commands,
    Failure,
    books_to_read,
    csv_option,
    echo,
    json_option,
    ledger_option,
    print_json,
    print_view,
    settings_for,
    tell_of_time_zone,
    write_private,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanledger.ledger.ledger import Ledger
    from spanledger.ledger.spans import SpanStore
    from spanledger.settings import Settings

NO_NETWORK = {"OTEL_TRACES_EXPORTER": "spanledger", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
"""What ``run`` sets where the environment does not: spans go into the ledger's file, nothing goes out."""
_START = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
_IMPORT = "import spanledger, opentelemetry.instrumentation.auto_instrumentation"


class _AllCommands(Commands):
    """The commands of this file, and those of ``spanledger.commands``: one module each, imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_elsewhere()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _elsewhere():
            found: click.Command = getattr(importlib.import_module(f"{commands.__name__}.{cmd_name}"), cmd_name)
            return found
        return super().get_command(ctx, cmd_name)


def _elsewhere() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(commands.__path__) if module.name != "common"]


@click.group(cls=_AllCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spanledger", message="spanledger %(version)s")
def main() -> None:
    """Keeps the books on LLM and plugin usage: tokens, cost, budgets."""


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@ledger_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(url: str | None, command: tuple[str, ...]) -> None:
    """Run a program with its calls counted, priced and held to the budgets: spanledger run -- python app.py

    Spans go into the ledger's file and nothing into the network, unless OTEL_* variables say otherwise.
    """
    settings = settings_for(url)
    environment = config.export_environment(**NO_NETWORK, SPANLEDGER_LEDGER=settings.ledger_url)
    environment["SPANLEDGER_LEDGER"] = settings.ledger_url
    for problem in exporters.missing(environment):
        raise problem
    program = _beside_us(command[0])
    _warn_of_another_python(program)
    # Without the "--" OpenTelemetry reads options of the program as its own: --config as the beginning of its --config_file.
    arguments = [sys.executable, "-P", "-c", _START, "--", program, *command[1:]]
    os.execvpe(sys.executable, arguments, environment)  # noqa: S606  # running a command is what this is for


def _beside_us(program: str) -> str:
    """``python`` is the one Spanledger is installed for, activated or not: another one would run uninstrumented."""
    beside = Path(sys.executable).parent / program
    if os.sep not in program and beside.is_file():
        return str(beside)
    if shutil.which(program) is None:
        message = f"cannot find the program {program!r}; expected a command such as: spanledger run -- python app.py"
        raise Failure(message)
    return program


def _warn_of_another_python(program: str) -> None:
    """An interpreter of another environment is asked whether it has us; nothing in its program would say that it has not."""
    python = _interpreter(Path(shutil.which(program) or program))
    if python.parent == Path(sys.executable).parent or not python.name.startswith(("python", "pypy")):
        return
    import subprocess  # noqa: PLC0415  # only here

    with suppress(OSError, subprocess.TimeoutExpired):  # what is wrong with it is told when it is started
        asked = subprocess.run([python, "-c", _IMPORT], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)  # noqa: S603
        if asked.returncode == 1:
            click.echo(f"spanledger: {python} cannot import spanledger: the calls of this program are neither counted nor held to"
                       f" budgets; install it there: {python} -m pip install spanledger", err=True)  # fmt: skip


def _interpreter(program: Path) -> Path:
    """Of a script, what its first line names; else the program itself."""
    with suppress(OSError), program.open("rb") as file:
        first = file.readline(1000)
        if first.startswith(b"#!") and (words := os.fsdecode(first[2:]).split()):
            return Path(words[0])
    return program


@main.command()
@click.option("--by", multiple=True, metavar="GROUP", help="Group by this; give it again for a second one. Default: model.")
@click.option("--since", metavar="WHEN", help="From then on: today, yesterday, 7d, 24h, 2026-01-31, 2026-01-31T12:00.")
@click.option("--until", metavar="WHEN", help="Up to, but not including, then.")
@click.option("--execution", metavar="ID", help="Only this run of a workflow.")
@csv_option("Write the rows to this file, too.")
@ledger_option
@json_option
def report(  # noqa: PLR0913, PLR0917  # one parameter for each option
    by: tuple[str, ...], since: str | None, until: str | None, execution: str | None, csv_file: Path | None, url: str | None, as_json: bool
) -> None:
    """What was used and what it cost.

    GROUP is one of model, provider, activity, operation, workflow, execution, step, plugin, service, day (in UTC), or a scope key of your
    own such as customer or user. WHEN is in SPANLEDGER_TIMEZONE, unless it names a zone itself.
    """
    from spanledger.report import queries, views  # noqa: PLC0415  # rich takes 50 ms

    for group in by:
        if not group.strip() or "," in group:
            message = f"--by {group!r} names no group; for several give --by several times"
            raise Failure(message)
    settings = settings_for(url)
    tell_of_time_zone(settings)
    start, end = queries.span_of_time(since, until, settings.timezone)
    with books_to_read(settings) as ledger:
        found = queries.report(ledger, by or ("model",), since=start, until=end, execution=execution)
    if (as_json or csv_file is not None) and not found.empty:
        for note in views.unknown_groups(found):
            click.echo(f"spanledger: {note}", err=True)
    if csv_file is not None:
        write_private(csv_file, lambda file: queries.write_csv(found, file))
    if as_json:
        print_json(queries.report_json(found))
    elif found.empty:
        echo(views.empty(found, filtered=bool(since or until or execution)))
    else:
        print_view(lambda width: views.report_view(found, width))


@main.command()
@click.argument("trace_id", required=False)
@click.option("--last", default=1, metavar="N", type=click.IntRange(1, 1000), help="Without TRACE_ID: the N newest traces, newest last.")
@ledger_option
@json_option
def trace(trace_id: str | None, last: int, url: str | None, as_json: bool) -> None:
    """The spans of one trace as a tree; TRACE_ID may be its first digits, default is the newest trace."""
    from spanledger.report import tree  # noqa: PLC0415  # rich takes 50 ms

    settings = settings_for(url)
    with books_to_read(settings) as ledger, _span_store(ledger) as store:
        traces = [tree.grow(spans, ledger) for spans in tree.find(store, trace_id, last)]
    if as_json:
        _print_nested(lambda: [tree.trace_json(found) for found in traces])
    else:
        print_view(lambda width: tree.traces_view(traces, width))


def _print_nested(value: Callable[[], Any]) -> None:
    try:
        print_json(value())
    except RecursionError as error:
        message = "the spans are nested too deeply for JSON; without --json all of them are shown"
        raise Failure(message) from error


@contextmanager
def _span_store(ledger: Ledger) -> Iterator[SpanStore | None]:
    """The spans beside these books; None if the books are empty ones that stand for a file that is not there."""
    from spanledger.ledger.spans import SpanStore  # noqa: PLC0415  # only this command needs these two
    from spanledger.ledger.sqlite import SqliteLedger  # noqa: PLC0415

    if not isinstance(ledger, SqliteLedger):
        yield None
        return
    with closing(SpanStore(ledger.path, migrate=False)) as store:
        yield store


@main.command()
@ledger_option
@json_option
def budgets(url: str | None, as_json: bool) -> None:
    """Every budget: spent, reserved by calls under way, left, and when it starts anew."""
    from spanledger.budgets.rule import parse_all, without  # noqa: PLC0415  # only this command needs it
    from spanledger.report import accounts, views  # noqa: PLC0415  # rich takes 50 ms

    settings = settings_for(url)
    tell_of_time_zone(settings)
    rules, problems = parse_all(settings.budgets)
    for problem in problems:
        click.echo(f"spanledger: {problem}; {without(strict=settings.strict)}", err=True)
    with books_to_read(settings) as ledger:
        lines = accounts.budget_lines(rules, ledger.balances(time.time()))
    if as_json:
        print_json(accounts.budgets_json(lines))
    elif not lines:
        echo('No budget is configured. Set one as in SPANLEDGER_BUDGET_DAY="20 USD per day".')
    else:
        print_view(lambda _: views.budgets_view(lines, settings.timezone))


@main.command()
@ledger_option
@json_option
def status(url: str | None, as_json: bool) -> None:
    """Libraries, budgets, prices, ledger and settings as they are in force here; exit code 1 if something is broken."""
    from spanledger.report import status as checks  # noqa: PLC0415  # rich takes 50 ms

    settings = settings_for(url)
    found = checks.gather(settings, _try_installation(settings), time.time())
    if as_json:
        print_json(checks.status_json(found))
    else:
        print_view(lambda _: checks.status_view(found))
    sys.exit(0 if found.ok else 1)


def _try_installation(settings: Settings) -> dict[str, Any]:
    """What ``instrument`` does in this environment; its warnings are not logged, the checks tell the same."""
    from spanledger import install  # noqa: PLC0415  # all of the engine

    logger = logging.getLogger("spanledger")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        install.instrument(replace(settings, ledger="memory:"))
        install.import_libraries()
        return install.status()
    finally:
        install.uninstrument()
        logger.setLevel(level)


if __name__ == "__main__":
    main(prog_name="spanledger")
