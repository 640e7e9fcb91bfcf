"""What all commands share: the options, the ledger, printing, and how failures look."""

from __future__ import annotations

import json
import shutil
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from spanledger import settings as config
from spanledger.errors import ConfigurationError, SpanledgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.console import RenderableType

    from spanledger.ledger.ledger import Ledger
    from spanledger.settings import Settings

LEDGER = "SPANLEDGER_LEDGER"
_WIDE = 120


class Failure(click.ClickException):
    """One line for the person at the terminal; exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Prints it on standard error."""
        click.echo(f"spanledger: {self.format_message()}", err=True, file=file)


class Commands(click.Group):
    """A group whose commands may raise any ``SpanledgerError``: people see one line, not a stack."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except SpanledgerError as error:
            raise Failure(" ".join(str(error).split())) from error


ledger_option = click.option("--ledger", "url", metavar="URL", help="The ledger to use instead of SPANLEDGER_LEDGER's.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def settings_for(url: str | None) -> Settings:
    """The settings in force, with the ledger that ``--ledger`` names."""
    settings = config.load()
    return replace(settings, ledger=url, sources={**settings.sources, "ledger": "--ledger"}) if url else settings


def print_view(view: Callable[[int], RenderableType]) -> None:
    """Prints for a person, in the terminal's width; a pipe or a file has room for a whole table."""
    from rich.console import Console  # noqa: PLC0415  # rich takes 50 ms

    width = shutil.get_terminal_size((_WIDE, 24)).columns
    Console(width=width, highlight=False).print(view(width))


def print_json(value: Any) -> None:
    """Prints for a program."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def books_to_read(settings: Settings, *, must_exist: bool = False) -> Iterator[Ledger]:
    """The ledger, for reading: creates no file and writes into none, so that whoever may read the books can look at them.

    Empty books stand for a file that is not there yet, unless ``must_exist`` or ``--ledger`` named it. Raises ConfigurationError then.
    """
    from spanledger.ledger.memory import MemoryLedger  # noqa: PLC0415  # only commands that read the books need these
    from spanledger.ledger.open import sqlite_path  # noqa: PLC0415
    from spanledger.ledger.place import is_there  # noqa: PLC0415
    from spanledger.ledger.sqlite import SqliteLedger  # noqa: PLC0415

    path = sqlite_path(settings.ledger_url)
    if path is None:
        with open_books(settings) as ledger:
            yield ledger
    elif is_there(path):
        with closing(SqliteLedger(path)) as ledger:
            yield ledger
    elif must_exist or settings.sources["ledger"] == "--ledger":
        raise no_such_ledger(settings, path)
    else:
        yield MemoryLedger()


def no_such_ledger(settings: Settings, path: Path) -> ConfigurationError:
    """What to say of a ledger file that is not there, and of who named it."""
    named_by = settings.sources["ledger"]
    return ConfigurationError(
        named_by if named_by == "--ledger" else LEDGER, f"there is no file {path}", "the ledger of a program that has run with Spanledger"
    )


@contextmanager
def open_books(settings: Settings) -> Iterator[Ledger]:
    """The ledger, for writing too: its file is created. Raises ConfigurationError if no other process could read what is written."""
    from spanledger.ledger.open import open_ledger  # noqa: PLC0415  # only commands that open the books need it

    if settings.ledger_url.startswith("memory:"):
        expected = "a ledger that outlives its process, such as sqlite:////var/lib/myapp/ledger.db"
        raise ConfigurationError(LEDGER, "memory: belongs to one process, nobody else can read it", expected)
    ledger = open_ledger(settings.ledger_url)
    try:
        yield ledger
    finally:
        ledger.close()
