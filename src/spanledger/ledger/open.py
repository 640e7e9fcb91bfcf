"""From the text of ``SPANLEDGER_LEDGER`` to a ledger."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spanledger.errors import ConfigurationError, LedgerBusy, LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.ledger.ledger import Ledger

_VARIABLE = "SPANLEDGER_LEDGER"
_ACCEPTED = "memory: or sqlite:/// and a path, such as sqlite:////var/lib/myapp/ledger.db"
_FALLBACK = (
    "Until this process ends its books are kept in memory: other processes do not see its budgets, and reports do not see its calls. "
    f"To keep them set {_VARIABLE} to {_ACCEPTED}."
)


def open_ledger(url: str, *, on_problem: Callable[[str], None] | None = None, migrate: bool = True) -> Ledger:
    """The ledger of this URL, opened and found writable.

    ``memory:`` is this process's memory. ``sqlite:///`` is followed by the path of a file: absolute if it begins with ``/`` (then there are
    four slashes), with ``~`` for the home directory, else relative to the working directory. Missing directories are created for
    absolute paths only.

    Args:
        url: the URL.
        on_problem: told in one message why a file cannot be used; the ledger is then one in memory and the file stays as it is.
        migrate: whether a file is created, or brought up to date.

    Raises:
        ConfigurationError: the URL is not understood.
        LedgerError: the file cannot be used, and there is no ``on_problem`` to tell. ``LedgerTooNew`` if a newer version wrote it,
            ``LedgerTooOld`` if it has older tables and they are not to be changed.
    """
    scheme, _, rest = url.strip().partition(":")
    if scheme == "memory" and not rest.strip("/"):
        return _memory()
    if scheme != "sqlite":
        raise _not_understood(scheme)
    try:
        return _sqlite(_usable(_path(rest)), migrate=migrate)
    except LedgerError as error:
        if on_problem is None:
            raise
        on_problem(f"{error}. {_FALLBACK}")
        return _memory()


def understood(url: str, default: str) -> tuple[str, ConfigurationError | None]:
    """The URL if it is one that ``open_ledger`` understands; else ``default``, and what is wrong."""
    scheme, _, rest = url.strip().partition(":")
    try:
        if scheme == "sqlite":
            _path(rest)
        elif scheme != "memory" or rest.strip("/"):
            raise _not_understood(scheme)
    except ConfigurationError as problem:
        return default, problem
    return url, None


def whole(url: str) -> str:
    """The URL with the absolute path of its file, so that it means the same file in every working directory."""
    scheme, _, rest = url.strip().partition(":")
    with suppress(OSError):  # the working directory is gone; opening the ledger says so
        return f"sqlite:///{_path(rest).absolute()}" if scheme == "sqlite" else url
    return url


def sqlite_path(url: str) -> Path | None:
    """The file of a ``sqlite:`` URL, for what else is kept in it; None for any other URL.

    Raises:
        ConfigurationError: the URL is not understood.
        LedgerError: nothing can be kept there.
    """
    scheme, _, rest = url.strip().partition(":")
    return _usable(_path(rest)) if scheme == "sqlite" else None


def _not_understood(scheme: str) -> ConfigurationError:
    """Shows only the scheme: the rest of a URL may hold a password."""
    if scheme in {"redis", "rediss", "postgresql", "postgres"}:
        return ConfigurationError(_VARIABLE, f"a ledger in {scheme}: is not available in this version", _ACCEPTED)
    return ConfigurationError(_VARIABLE, f"{scheme!r} is no kind of ledger", _ACCEPTED)


def _path(rest: str) -> Path:
    text = rest.removeprefix("///")
    if text == rest or not text or text.endswith("/"):
        raise ConfigurationError(_VARIABLE, f"'sqlite:{rest}' names no file", _ACCEPTED)
    if text == ":memory:":
        raise ConfigurationError(_VARIABLE, "'sqlite:///:memory:' would be a ledger of its own for every connection", _ACCEPTED)
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises where there is no home


def _usable(path: Path) -> Path:
    """The path, unless there is no place for its file."""
    wrong = None if path.is_absolute() else _wrong_with_relative(path)
    if wrong is not None:
        msg = f"the ledger {path} cannot be created: {wrong}"
        raise LedgerError(msg)
    return path.absolute()  # the application may change its working directory


def _wrong_with_relative(path: Path) -> str | None:
    try:
        here = Path.cwd()
    except OSError:
        return "the working directory is gone"
    if path.parent.is_dir():
        return None
    if path.parts[0].startswith("~"):
        return "there is no such home directory"
    return f"{path.parent} is no directory in {here}; an absolute path takes four slashes, as in sqlite:////{path}"


def _sqlite(path: Path, *, migrate: bool) -> Ledger:
    from spanledger.ledger.sqlite import SqliteLedger  # noqa: PLC0415  # not everybody needs sqlite3

    ledger = SqliteLedger(path, migrate=migrate)
    try:
        ledger.check()
    except LedgerBusy:
        pass
    except LedgerError:
        ledger.close()
        raise
    return ledger


def _memory() -> Ledger:
    from spanledger.ledger.memory import MemoryLedger  # noqa: PLC0415  # not needed where there is a file

    return MemoryLedger()
