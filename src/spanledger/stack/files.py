"""Where the files that are shipped beside the code are: in an installed package inside of it, in a checkout next to ``src``."""

from __future__ import annotations

import shutil
from pathlib import Path

from spanledger.errors import StackError

_PACKAGE = Path(__file__).parents[1]


def directory() -> Path:
    """Configurations of the collectors and of what they send to, recording rules, pinned builds."""
    return _shipped("collector")


def dashboards() -> Path:
    """Grafana dashboards."""
    return _shipped("dashboards")


def _shipped(name: str) -> Path:
    installed, checkout = _PACKAGE / f"_{name}", _PACKAGE.parents[1] / name
    for candidate in (installed, checkout):
        if candidate.is_dir():
            return candidate
    message = f"the folder {name} is missing: neither {installed} nor {checkout} exists; install spanledger again"
    raise StackError(message)


def write(destination: Path, *, force: bool = False) -> list[Path]:
    """Copies the collector files to ``destination`` and returns the copies.

    Raises StackError, having written nothing, if one of them exists already and ``force`` is not given, or if they cannot be written.
    """
    source = directory()
    copies = {path: destination / path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()}
    existing = [str(copy) for copy in copies.values() if copy.exists()]
    if existing and not force:
        message = (
            f"{len(existing)} of {len(copies)} files exist already in {destination}, such as {existing[0]}; use --force to overwrite them"
        )
        raise StackError(message)
    try:
        for path, copy in copies.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    except OSError as error:
        message = f"cannot write to {destination}: {error.strerror}"
        raise StackError(message) from error
    return list(copies.values())
