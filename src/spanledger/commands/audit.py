"""``spanledger audit serve | list | verify``."""

from __future__ import annotations

import sys

import click

from spanledger.commands.common import (
    Commands,
    books_to_read,
    echo,
    json_option,
    ledger_option,
    open_books,
    print_json,
    print_view,
    settings_for,
    terminated,
)


@click.group(cls=Commands)
def audit() -> None:
    """Audit records: what has gone wrong with the books, in a chain that shows every later change."""


@audit.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; any but this machine's own needs a token.")
@click.option("--port", default=9099, show_default=True, type=click.IntRange(0, 65535), help="The port to listen on; 0 takes a free one.")
@ledger_option
def serve(host: str, port: int, url: str | None) -> None:
    """Receive Alertmanager's webhook and write each critical alert into the audit, once: POST /alerts, GET /health.

    Alerts with the label severity="critical" or audit="true" are written. Where SPANLEDGER_AUDIT_TOKEN is set, requests have to carry it.
    """
    from spanledger.audit import serve as http  # noqa: PLC0415  # only this command needs these four
    from spanledger.audit.emit import Emitter  # noqa: PLC0415
    from spanledger.audit.receive import Receiver  # noqa: PLC0415

    _log_to_stderr()
    stop = terminated()
    settings = settings_for(url)
    with open_books(settings) as ledger:
        emitter = Emitter(settings)
        try:
            server = http.AuditServer(host, port, Receiver(ledger, emitter), settings.audit_token)
            echo(f"Listening on {server.url}.")
            http.serve(server, stop)
        finally:
            emitter.close()


def _log_to_stderr() -> None:
    import logging  # noqa: PLC0415  # the other commands log nothing

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("spanledger").setLevel(logging.INFO)


@audit.command("list")
@click.option("--since", metavar="WHEN", help="Written from then on: today, yesterday, 7d, 24h, 2026-01-31, 2026-01-31T12:00.")
@ledger_option
@json_option
def list_(since: str | None, url: str | None, as_json: bool) -> None:
    """All audit records, newest last."""
    import datetime as dt  # noqa: PLC0415  # rich, for the views, takes 50 ms

    from spanledger.audit import views  # noqa: PLC0415
    from spanledger.report.queries import moment  # noqa: PLC0415

    settings = settings_for(url)
    start = moment("--since", since, settings.timezone, dt.datetime.now(dt.UTC)) if since else None
    with books_to_read(settings) as ledger:
        records = [record for record in ledger.audit() if start is None or record.time >= start]
    if as_json:
        print_json(views.records_json(records))
    elif records:
        print_view(lambda _: views.records_view(records, settings.timezone))
    else:
        echo("There are no audit records." if start is None else "No audit record was written since then.")


@audit.command()
@click.option("--noted", metavar="HASH", help="The newest hash, as noted earlier: it has to be in the chain still.")
@ledger_option
@json_option
def verify(noted: str | None, url: str | None, as_json: bool) -> None:
    """Check that no audit record was changed or removed. Exit code 0: the chain is whole, 1: it is broken, 2: it cannot be read."""
    from spanledger.audit import views  # noqa: PLC0415  # rich, for the views, takes 50 ms
    from spanledger.audit.verify import verify as follow  # noqa: PLC0415

    settings = settings_for(url)
    with books_to_read(settings) as ledger:
        verdict = follow(ledger.audit(), noted)
    if as_json:
        print_json(views.verdict_json(verdict))
    else:
        echo(views.verdict_text(verdict))
    sys.exit(0 if verdict.whole else 1)
