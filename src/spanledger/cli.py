"""The command line: ``spanledger run | status | report | trace | budgets``.

Errors are one line on standard error and exit code 2; ``status`` exits with 1 if something that is configured is broken.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spanledger import settings as config
from spanledger.errors import ConfigurationError, LedgerError, SpanledgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console, RenderableType

    from spanledger.ledger.ledger import Ledger
    from spanledger.ledger.spans import SpanStore
    from spanledger.pricing.book import PriceBook
    from spanledger.settings import Settings

NO_NETWORK = {"OTEL_TRACES_EXPORTER": "spanledger", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
"""What ``run`` sets where the environment does not: spans go into the ledger's file, nothing goes out."""
_START = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
_WIDE = 120


class _Failure(click.ClickException):
    """One line for the person at the terminal."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"spanledger: {self.format_message()}", err=True, file=file)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SpanledgerError as error:
            raise _Failure(" ".join(str(error).split())) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spanledger", message="spanledger %(version)s")
def main() -> None:
    """Keeps the books on LLM and plugin usage: tokens, cost, budgets."""


_ledger_option = click.option("--ledger", "url", metavar="URL", help="The ledger to use instead of SPANLEDGER_LEDGER's.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _settings(url: str | None) -> Settings:
    settings = config.load()
    return replace(settings, ledger=url) if url else settings


def _console() -> Console:
    """Rich takes 80 columns when nobody can tell; a pipe or a file has room for a whole table."""
    from rich.console import Console  # noqa: PLC0415  # rich takes 50 ms

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    return console


def _print(view: Callable[[Console], RenderableType], as_json: Callable[[], Any] | None) -> None:
    if as_json is not None:
        click.echo(json.dumps(as_json(), indent=2, ensure_ascii=False))
        return
    console = _console()
    console.print(view(console))
