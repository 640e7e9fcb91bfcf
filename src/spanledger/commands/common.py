"""What all commands share: the options, the ledger, printing, and how failures look."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import threading
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from spanledger import private
from spanledger import settings as config
from spanledger.errors import ConfigurationError, SpanledgerError
from spanledger.ledger.open import understood
from spanledger.outside import plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from spanledger.ledger.ledger import Ledger
    from spanledger.settings import Settings

F = TypeVar("F", bound="Callable[..., Any]")

LEDGER, _OPTION = "SPANLEDGER_LEDGER", "--ledger"
_WIDE = 1_000
"""Where there is no terminal: no table is wrapped, so that each line can be searched."""
_SIMPLER = str.maketrans({"█": "#", "▒": "+", "░": ".", "→": ">", "…": "..."})
"""What we draw with, for terminals and files that have none of it."""


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


def csv_option(sentence: str) -> Callable[[F], F]:
    """``--csv FILE``, given to the command as ``csv_file``."""
    return click.option("--csv", "csv_file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help=sentence)


def write_private(path: Path, write: Callable[[IO[str]], None]) -> None:
    """Writes a CSV file that its owner alone can read. Raises ConfigurationError if it cannot be written."""
    try:
        if path.is_file() and not path.is_symlink():  # such as /dev/stdout
            path.unlink()  # it may be readable for others
        with open(path, "w", encoding="utf-8", newline="", opener=private.opener) as file:  # Path.open has no opener
            write(file)
    except OSError as error:
        option = f"--csv {path}"
        raise ConfigurationError(option, f"cannot be written ({error.strerror})", "a file in a directory that can be written") from error


def terminated() -> threading.Event:
    """Set by the signals that service managers (SIGTERM) and people (Ctrl-C) send."""
    event = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: event.set())
    return event


def settings_for(url: str | None) -> Settings:
    """The settings in force, with the ledger that ``--ledger`` names. Raises ConfigurationError if that is none."""
    settings = config.load()
    if not url:
        return settings
    _, problem = understood(url, settings.default_ledger_url)
    if problem is not None:
        raise ConfigurationError(_OPTION, problem.problem, problem.expected)
    return replace(settings, ledger=url, sources={**settings.sources, "ledger": _OPTION})


def tell_of_time_zone(settings: Settings) -> None:
    """For commands whose numbers depend on it: a zone that is not understood moves midnight."""
    for problem in settings.problems:
        if problem.where == "SPANLEDGER_TIMEZONE":
            click.echo(f"spanledger: {problem}; days are those of {settings.timezone}", err=True)


def print_view(view: Callable[[int], RenderableType]) -> None:
    """Prints for a person, in the terminal's width; a pipe or a file has room for a whole table."""
    from rich.console import Console  # noqa: PLC0415  # rich takes 50 ms

    width = shutil.get_terminal_size((_WIDE, 24)).columns
    console = Console(width=width, highlight=False)
    shown = view(width)
    with _written(), console.capture() as printed:
        console.print(shown)
    echo(printed.get(), nl=False)


def print_json(value: Any) -> None:
    """Prints for a program."""
    echo(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON with the characters as they are, or escaped where standard output has them not, or a terminal would obey them."""
    text = plain_json(json.dumps(value, indent=indent, ensure_ascii=False))
    return text if _can_be_printed(text) else json.dumps(value, indent=indent)


def echo(text: str, *, nl: bool = True) -> None:
    """Prints on standard output, whatever its encoding is."""
    with _written():
        click.echo(_printable(text), nl=nl, color=True)  # who is not to see colours has been considered where they were made


@contextmanager
def _written() -> Iterator[None]:
    """A full disk behind standard output is one line on standard error."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # click ends the program for it
        _drop_what_is_buffered()
        message = f"standard output cannot be written: {error.strerror}; what was printed is not complete"
        raise Failure(message) from error


def _printable(text: str) -> str:
    """The text, or what comes near it in the encoding of standard output; never a failure."""
    if _can_be_printed(text):
        return text
    return text.translate(_SIMPLER).encode(_encoding(), "backslashreplace").decode(_encoding())


def _can_be_printed(text: str) -> bool:
    try:
        text.encode(_encoding())
    except UnicodeEncodeError:
        return False
    return True


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"  # no standard output, or one that is not the interpreter's


def _drop_what_is_buffered() -> None:
    """Python would write it once more when it ends, and fail with a stack of its own."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def books_to_read(settings: Settings, *, must_exist: bool = False, for_long: bool = False) -> Iterator[Ledger]:
    """The ledger, for reading: creates no file and writes into none, so that whoever may read the books can look at them.

    Empty books stand for a file that is not there yet, unless ``must_exist`` or ``--ledger`` named it. Raises ConfigurationError then.
    A ledger that cannot be read where it is is read from a copy, unless ``for_long``, where new entries are to be seen.
    """
    from spanledger.ledger.copies import readable  # noqa: PLC0415  # only commands that read the books need these
    from spanledger.ledger.memory import MemoryLedger  # noqa: PLC0415
    from spanledger.ledger.open import sqlite_path  # noqa: PLC0415
    from spanledger.ledger.place import is_there  # noqa: PLC0415
    from spanledger.ledger.sqlite import SqliteLedger  # noqa: PLC0415

    path = sqlite_path(settings.ledger_url)
    if path is None:
        with open_books(settings) as ledger:
            yield ledger
    elif is_there(path):
        where = nullcontext(path) if for_long else readable(path, _tell_of_copy)
        with _signals_unwind(), where as file, closing(SqliteLedger(file, migrate=False)) as ledger:
            yield ledger
    elif must_exist or settings.sources["ledger"] == _OPTION:
        raise no_such_ledger(settings, path)
    else:
        yield MemoryLedger()


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """A signal that asks the program to end, which does so on the spot by default, lets it leave what it is in first: the copy goes.

    One that is ignored, or handled otherwise, stays so.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other one can set handlers
        numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
        before = {number: signal.signal(number, _leave) for number in numbers if signal.getsignal(number) is signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # as shells tell it


def _tell_of_copy(older: SpanledgerError) -> None:
    click.echo(f"spanledger: {older}; it stays as it is, and what is shown comes from a private copy", err=True)


def no_such_ledger(settings: Settings, path: Path) -> ConfigurationError:
    """What to say of a ledger file that is not there, and of who named it."""
    return ConfigurationError(named_by(settings), f"there is no file {path}", "the ledger of a program that has run with Spanledger")


def named_by(settings: Settings) -> str:
    """Where the ledger's URL comes from: the option, else the variable."""
    return _OPTION if settings.sources["ledger"] == _OPTION else LEDGER


@contextmanager
def open_books(settings: Settings, *, migrate: bool = True) -> Iterator[Ledger]:
    """The ledger, for writing too: its file is created, unless ``migrate`` is false.

    Raises ConfigurationError if no other process could read what is written.
    """
    from spanledger.ledger.open import open_ledger  # noqa: PLC0415  # only commands that open the books need it

    if settings.ledger_url.startswith("memory:"):
        expected = "a ledger that outlives its process, such as sqlite:////var/lib/myapp/ledger.db"
        raise ConfigurationError(named_by(settings), "memory: belongs to one process, nobody else can read it", expected)
    ledger = open_ledger(settings.ledger_url, migrate=migrate)
    try:
        yield ledger
    finally:
        ledger.close()
