"""The programs of the stack: named by a variable, found on PATH, or built from pinned sources into the user's cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spanledger import settings as config
from spanledger.errors import ConfigurationError, StackError
from spanledger.stack import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.settings import Settings


_OWN = "own build"


class Binary(NamedTuple):
    """One program."""

    name: str
    build: build.Build
    file: str
    """Its file name after a build."""
    on_path: tuple[str, ...]
    """The names it may have on PATH."""
    oldest: tuple[int, int]
    """The oldest version the shipped configurations can be used with."""
    ask_version: str = "--version"


BINARIES: dict[str, Binary] = {
    binary.name: binary
    for binary in (
        # 0.158: component names as in gateway.yaml.
        Binary("collector", build.COLLECTOR, "spanledger-collector", ("spanledger-collector", "otelcol-contrib"), (0, 158)),
        Binary("jaeger", build.JAEGER, "jaeger", ("jaeger",), (2, 0), ask_version="version"),
        # 3.0: receives OTLP.
        Binary("prometheus", build.PROMETHEUS, "prometheus", ("prometheus",), (3, 0)),
        Binary("promtool", build.PROMETHEUS, "promtool", ("promtool",), (3, 0)),
        # 0.22: matchers.
        Binary("alertmanager", build.ALERTMANAGER, "alertmanager", ("alertmanager",), (0, 22)),
    )
}


class Found(NamedTuple):
    """A program that is there."""

    path: Path
    source: str
    """The variable that names it, ``PATH`` or ``own build``."""
    version: str | None
    """None if the program does not say."""


def find(name: str) -> Path | None:
    """The path of a program (``collector``, ``jaeger``, ``prometheus``, ``promtool``, ``alertmanager``), None if it must be built first.

    Raises ConfigurationError if the variable that names it names something else than a program.
    """
    found = locate(name)
    return found.path if found else None


def ensure(name: str, progress: Callable[[str], None] = build.silent) -> Path:
    """The path of a program, which is built if it is nowhere.

    Raises ConfigurationError as ``find`` does, and StackError if it cannot be built.
    """
    return (locate(name, progress) or make(name, progress)).path


def make(name: str, progress: Callable[[str], None] = build.silent) -> Found:
    """Builds a program, if that was not done before. Raises StackError if it cannot be built."""
    binary = BINARIES[name]
    programs = build.run(binary.build, config.load().cache_dir, progress)
    return Found(programs / binary.file, _OWN, build.pinned_version(binary.build))


def locate(name: str, progress: Callable[[str], None] = build.silent) -> Found | None:
    """As ``find``, with where it was found and its version; tells ``progress`` of a program on PATH that is too old."""
    binary, settings = BINARIES[name], config.load()
    return _named(binary, settings) or _on_path(binary, progress) or _built(binary, settings)


def _named(binary: Binary, settings: Settings) -> Found | None:
    path: Path | None = getattr(settings, f"{binary.name}_bin")
    if path is None:
        return None
    variable = settings.sources[f"{binary.name}_bin"]
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ConfigurationError(variable, f"{str(path)!r} is not a program that can be run", f"the path of {binary.file}")
    return Found(path.absolute(), variable, _version(binary, path))


def _on_path(binary: Binary, progress: Callable[[str], None]) -> Found | None:
    for path in filter(None, map(shutil.which, binary.on_path)):
        version = _version(binary, Path(path))
        if version and tuple(map(int, version.split(".")[:2])) < binary.oldest:
            progress(f"{path} has version {version}, {binary.oldest[0]}.{binary.oldest[1]} or newer is needed: not used")
        else:
            return Found(Path(path).absolute(), "PATH", version)
    return None


def _built(binary: Binary, settings: Settings) -> Found | None:
    path = build.place(binary.build, settings.cache_dir) / binary.file
    return Found(path, _OWN, build.pinned_version(binary.build)) if path.is_file() else None


def _version(binary: Binary, path: Path) -> str | None:
    try:
        said = subprocess.run([path, binary.ask_version], capture_output=True, text=True, errors="replace", timeout=20, check=False)  # noqa: S603  # the program the user has on PATH or has named
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"cannot run {path}: {error}"
        raise StackError(message) from error
    match = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return match[0] if match else None
