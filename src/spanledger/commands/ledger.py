"""``spanledger ledger export``: the ledger's sums as metrics."""

from __future__ import annotations

import signal
import threading

import click

from spanledger.commands.common import Commands, Failure, books_to_read, ledger_option, settings_for


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
    with books_to_read(settings, must_exist=True) as books:
        exporter = LedgerExporter(books, settings)
        try:
            if not once:
                exporter.run(interval, _stopped().wait)
            elif not exporter.export():
                message = "the sums could not be sent; the log line above says why. Check OTEL_EXPORTER_OTLP_ENDPOINT"
                raise Failure(message)
        finally:
            exporter.close()


def _stopped() -> threading.Event:
    """Set when somebody asks the process to end."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped
