"""``spanledger ledger export``: the ledger's sums as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from spanledger.commands.common import Commands, Failure, books_to_read, ledger_option, no_such_ledger, settings_for, terminated

if TYPE_CHECKING:
    import threading

    from spanledger.settings import Settings


@click.group(cls=Commands)
def ledger() -> None:
    """The ledger itself."""


@ledger.command()
@click.option("--interval", default=15.0, show_default=True, type=click.FloatRange(min=1), metavar="SECONDS", help="How often.")
@click.option("--once", is_flag=True, help="Send the sums once; exit code 2 if that fails.")
@ledger_option
def export(interval: float, once: bool, url: str | None) -> None:
    """Send the ledger's sums and budgets as metrics through OTLP, until stopped.

    Processes with Spanledger in them do so already. This is for ledgers whose processes are short-lived or have no metrics exporter.
    OTEL_EXPORTER_OTLP_ENDPOINT says where to.
    """
    from spanledger.ledger_exporter import LedgerExporter  # noqa: PLC0415  # the SDK takes 100 ms

    settings = settings_for(url)
    stopped = terminated() if not once else None
    if stopped is not None and not _appeared(settings, stopped, interval):
        return
    with books_to_read(settings, must_exist=True, for_long=True) as books:
        exporter = LedgerExporter(books, settings)
        try:
            if stopped is not None:
                exporter.run(interval, stopped.wait)
            elif not exporter.export():
                message = "the sums could not be sent; the log line above says why. Check OTEL_EXPORTER_OTLP_ENDPOINT"
                raise Failure(message)
        finally:
            exporter.close()


def _appeared(settings: Settings, stopped: threading.Event, interval: float) -> bool:
    """Waits for the ledger's file: this may be started before the first program that keeps books. False if it was stopped before."""
    from spanledger.ledger.open import sqlite_path  # noqa: PLC0415  # only this command needs these two
    from spanledger.ledger.place import is_there  # noqa: PLC0415

    path = sqlite_path(settings.ledger_url)
    if path is not None and not is_there(path):
        click.echo(f"spanledger: {no_such_ledger(settings, path)}; waiting for it", err=True)
        while not is_there(path):
            if stopped.wait(interval):
                return False
    return True
