"""``spanledger reconcile``: the ledger against the spans, entry by entry."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spanledger.commands.common import (
    books_to_read,
    csv_option,
    echo,
    json_option,
    ledger_option,
    open_books,
    print_view,
    settings_for,
    tell_of_time_zone,
    write_private,
)
from spanledger.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spanledger.ledger.ledger import Ledger
    from spanledger.reconcile.compare import Selection
    from spanledger.reconcile.result import Result
    from spanledger.reconcile.run import Progress, Sources
    from spanledger.settings import Settings

_ARRIVE_SECONDS = 600.0
"""An entry's time is the call's beginning. Most clients give up after ten minutes, and spans take some seconds behind the end."""
_PERCENT = re.compile(r"\s*(\d+(?:\.\d*)?)\s*(%?)\s*")


def _share(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """``1%`` or ``0.01``."""
    found = _PERCENT.fullmatch(text)
    if found is None:
        message = f"cannot read {text!r}; expected a share such as 1% or 0.01"
        raise click.BadParameter(message)
    return float(found[1]) / (100 if found[2] else 1)


@click.command()
@click.option("--execution", metavar="ID", help="Only this run of a workflow; compares what the run added up itself, too.")
@click.option("--since", metavar="WHEN", help="Calls that started then or later: today, yesterday, 7d, 24h, 2026-01-31, 2026-01-31T12:00.")
@click.option(
    "--until", metavar="WHEN", help="Calls that started before then. Default: all, but of the last ten minutes only what is on both sides."
)
@click.option(
    "--service", "services", multiple=True, metavar="NAME",
    help="Only calls of this service, even if it has no entry here; may be repeated. "
    "Default: all, but those that never had an entry in this ledger are counted only.",
)  # fmt: skip
@click.option(
    "--spans", "places", multiple=True, metavar="PATH", type=click.Path(path_type=Path),
    help="A file of the collector's file exporter (OTLP JSON, plain, gzip or zstd), or a directory with such files; may be repeated. "
    "Default: what `spanledger stack` keeps and what is in the ledger's own span table.",
)  # fmt: skip
@click.option(
    "--tolerance", callback=_share, default="0", metavar="SHARE", help="Sums may differ by this, such as 1%. Default: nothing may differ."
)
@click.option(
    "--show", default=20, metavar="N", type=click.IntRange(min=0), help="How many entries to list; --json and --csv have all. Default: 20."
)
@csv_option("Write all differences to this file.")
@click.option(
    "--audit/--no-audit", default=None, help="Record a difference in the ledger's audit. Default: where the ledger can be written."
)
@ledger_option
@json_option
def reconcile(  # noqa: PLR0913, PLR0917  # one parameter for each option
    execution: str | None,
    since: str | None,
    until: str | None,
    services: tuple[str, ...],
    places: tuple[Path, ...],
    tolerance: float,
    show: int,
    csv_file: Path | None,
    audit: bool | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Compare the ledger with the spans, entry by entry, and say what differs and why.

    Spans arrive later than entries, so a call of the last ten minutes that only one side has is left out, and the output says how many
    there are. --until now compares those, too: right after a program has ended, for instance.

    Spans of a service that never had an entry in this ledger are left out, and counted: it keeps its books elsewhere. --service NAME
    compares that service all the same.

    Exit code 0: they agree. 1: they differ. 2: there was nothing to compare, or it could not be read.
    """
    from spanledger.reconcile import result as results  # noqa: PLC0415  # only this command needs all this
    from spanledger.reconcile import views  # noqa: PLC0415
    from spanledger.reconcile.run import Reconciliation  # noqa: PLC0415

    settings = settings_for(url)
    selection = _selection(settings, execution, since, until, services)
    with books_to_read(settings, must_exist=True) as ledger:
        sources = _sources(settings, ledger, places, selection)
        with Reconciliation(sources, selection, workers=min(2, os.cpu_count() or 1), arriving=_arriving(selection)) as work:
            with _progress() as progress:
                result = work.result(progress)
            agrees = result.agrees(tolerance)
            if not agrees and audit is not False:
                _record(settings, result, insist=audit is True)
            if csv_file is not None:
                write_private(csv_file, lambda file: results.write_csv(result, file))
            if as_json:
                results.write_json(result, tolerance, lambda text: echo(text, nl=False))
            else:
                print_view(lambda _: views.result_view(result, tolerance, show))
    sys.exit(0 if agrees else 1)


def _selection(
    settings: Settings, execution: str | None, since: str | None, until: str | None, services: tuple[str, ...]
) -> Selection:  # fmt: skip
    from spanledger.reconcile.compare import Selection  # noqa: PLC0415
    from spanledger.report.queries import span_of_time  # noqa: PLC0415

    if execution and (since or until):
        option = "--execution"
        raise ConfigurationError(option, "a run is compared as a whole", "no --since or --until with it")
    tell_of_time_zone(settings)
    start, end = span_of_time(since, until, settings.timezone)
    return Selection(start, end, execution, services)


def _arriving(selection: Selection) -> float:
    """From when on calls may still be on their way. Who names an end, or one run, wants to know of every call."""
    named = selection.until is not None or selection.execution is not None
    return float("inf") if named else time.time() - _ARRIVE_SECONDS


def _sources(settings: Settings, ledger: Ledger, places: Sequence[Path], selection: Selection) -> Sources:
    from spanledger.budgets.spill import Folder  # noqa: PLC0415
    from spanledger.ledger.facts import has_spans  # noqa: PLC0415
    from spanledger.ledger.open import whole  # noqa: PLC0415
    from spanledger.ledger.sqlite import SqliteLedger  # noqa: PLC0415
    from spanledger.reconcile import files  # noqa: PLC0415
    from spanledger.reconcile.run import Sources  # noqa: PLC0415
    from spanledger.stack.stack import default_directory  # noqa: PLC0415

    name = f"the ledger {re.sub(r'//[^/@]*@', '//', settings.ledger_url)}"  # without a password
    sources = Sources(ledger, name, spills=Folder(settings.state_dir, whole(settings.ledger_url)))
    if places:
        return sources._replace(files=files.find(places))
    table, kept = ledger.path if isinstance(ledger, SqliteLedger) else None, default_directory() / "spans"
    found = files.in_directory(kept, _oldest(ledger, selection)) if kept.is_dir() else []
    if not any(path.stat().st_size for path in found):  # a gateway to which nobody has sent has an empty file
        found = []
    if not found and table is None:
        option = "--spans"
        raise ConfigurationError(option, f"there are no span files in {kept}", "where the collector's file exporter writes")
    if found and table is not None and not has_spans(table):
        table = None
    return sources._replace(files=found, table=table)


def _oldest(ledger: Ledger, selection: Selection) -> float | None:
    """When the first call that is asked about began, as far as that is known: older files have no span of it."""
    if selection.execution is None:
        return selection.since
    first = next(iter(ledger.entries(execution=selection.execution)), None)
    return first.time if first is not None else None


def _record(settings: Settings, result: Result, *, insist: bool) -> None:
    """In the ledger itself, which may have been read from a copy; one with older tables is changed only for who insists."""
    from spanledger.audit.emit import Emitter  # noqa: PLC0415  # only where there is a difference
    from spanledger.reconcile import finding  # noqa: PLC0415

    try:
        with open_books(settings, migrate=insist) as ledger:
            record = finding.write(ledger, result)
    except LedgerError as error:
        if insist:
            raise
        click.echo(f"spanledger: the difference is not in the audit: {error}", err=True)
        return
    if record is not None:
        emitter = Emitter(settings)
        emitter.emit(record)
        emitter.close()
    what = f"audit record {record.sequence} says so" if record else "these differences are in the audit already"
    click.echo(f"spanledger: {what}", err=True)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar for each stage on standard error, if a person is there to see it."""
    from spanledger.reconcile.run import silent  # noqa: PLC0415

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415
    from rich.progress import TaskID  # noqa: PLC0415

    tasks: dict[str, TaskID] = {}
    with Bars(console=Console(stderr=True), transient=True) as bars:

        def advance(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.advance(tasks[stage], done)

        yield advance
