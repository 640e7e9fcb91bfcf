"""Builds programs with Go from the pinned sources in ``collector/build``, once for each content of these, into the user's cache.

``go.sum`` pins every module by its hash: the same sources give the same program, and no checksum database is asked.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spanledger import private
from spanledger import settings as config
from spanledger.errors import StackError
from spanledger.stack import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FLAGS = ("-trimpath", "-ldflags", "-s -w")
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
"""No C compiler is needed; nothing but the pinned sources counts, wherever the cache lies."""
_SHOWN_LINES = 12


class Build(NamedTuple):
    """One run of ``go build``; gives one program for each package."""

    folder: str
    """Under ``collector/build``."""
    module: str
    """The module whose version is the version of the programs."""
    packages: tuple[str, ...]
    flags: tuple[str, ...] = ()


COLLECTOR = Build("collector", "go.opentelemetry.io/collector/receiver/otlpreceiver", (".",))
JAEGER = Build("jaeger", "github.com/jaegertracing/jaeger", ("github.com/jaegertracing/jaeger/cmd/jaeger",))
PROMETHEUS = Build(
    "prometheus",
    "github.com/prometheus/prometheus",
    ("github.com/prometheus/prometheus/cmd/prometheus", "github.com/prometheus/prometheus/cmd/promtool"),
    ("-tags", "netgo,remove_all_sd"),  # only static targets are scraped; service discovery doubles the size
)
ALERTMANAGER = Build("alertmanager", "github.com/prometheus/alertmanager", ("github.com/prometheus/alertmanager/cmd/alertmanager",))


def silent(message: str) -> None:
    """Tells nobody."""


def place(build: Build, cache: Path) -> Path:
    """The folder in the cache that has, or will have, the programs of this build."""
    digest = hashlib.sha256(repr((build.packages, _FLAGS, build.flags, platform.system(), platform.machine())).encode())
    for path in sorted(_sources(build).iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return cache / "stack" / f"{build.folder}-{digest.hexdigest()[:16]}"


def pinned_version(build: Build) -> str | None:
    """The version of the main module, as ``go.mod`` pins it."""
    match = re.search(rf"{re.escape(build.module)} v(\S+)", (_sources(build) / "go.mod").read_text())
    return match[1] if match else None


def run(build: Build, cache: Path, progress: Callable[[str], None]) -> Path:
    """Builds what is not there yet, and returns the folder with the programs.

    Of two that want the same at once, one builds and the other one waits. ``progress`` is told of every stage.
    Raises StackError if Go is missing, too old, or fails, or if the cache cannot be written.
    """
    target = place(build, cache)
    try:
        with _locked(target, progress):
            if not target.is_dir():
                _into(target, build, progress)
    except OSError as error:
        message = f"cannot build {build.folder} in {target.parent}: {error.strerror}; XDG_CACHE_HOME chooses another place"
        raise StackError(message) from error
    return target


def _sources(build: Build) -> Path:
    return files.directory() / "build" / build.folder


@contextmanager
def _locked(target: Path, progress: Callable[[str], None]) -> Iterator[None]:
    private.make_folder(target.parent)
    with open(target.with_name(f"{target.name}.lock"), "w", opener=private.opener) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that builds the same")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _into(target: Path, build: Build, progress: Callable[[str], None]) -> None:
    """Builds in a copy, beside ``target`` so that the last step is one rename: nobody ever sees half a build."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as scratch:
        sources, programs = Path(scratch, "sources"), Path(scratch, "programs")
        sources.mkdir()
        for path in _sources(build).iterdir():
            shutil.copyfile(path, sources / path.name)  # not its mode: what is installed may be read-only
        command = [_go(sources), "build", "-v", *_FLAGS, *build.flags, "-o", f"{programs}{os.sep}", *build.packages]
        programs.mkdir()
        _compile(command, sources, target.with_name(f"{target.name}.log"), progress)
        programs.rename(target)


def _go(sources: Path) -> str:
    """The go command. Raises StackError if there is none, or it is older than ``go.mod`` asks for and may not fetch a newer one."""
    match = re.search(r"^go (\S+)", (sources / "go.mod").read_text(), re.MULTILINE)
    needed = match[1] if match else "1.24"
    go = shutil.which("go")
    if go is None:
        elsewhere = "install it from https://go.dev/dl, or name programs that you have by SPANLEDGER_<NAME>_BIN"
        message = f"building needs Go {needed} or newer, and there is no go on PATH; {elsewhere}"
        raise StackError(message)
    asked = subprocess.run([go, "list", "-m"], cwd=sources, env=_environment(), capture_output=True, text=True, check=False)  # noqa: S603  # Go, as found on PATH
    if asked.returncode:
        message = f"building needs Go {needed} or newer; {go} says: {asked.stderr.strip()}"
        raise StackError(message)
    return go


def _compile(command: list[str], sources: Path, log: Path, progress: Callable[[str], None]) -> None:
    last: deque[str] = deque(maxlen=_SHOWN_LINES)
    progress("compiling")
    with open(log, "w", opener=private.opener) as written, _started(command, sources) as process:
        try:
            for line in process.stderr or ():
                written.write(line)
                last.append(line.rstrip())
                progress("downloading modules" if line.startswith("go: downloading") else "compiling")
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        message = f"go build failed with exit code {process.returncode}; all it said is in {log}"
        raise StackError(message, tuple(last))


def _started(command: list[str], sources: Path) -> subprocess.Popen[str]:
    """In a session of its own, so that an interrupted build takes Go's compilers with it."""
    return subprocess.Popen(  # noqa: S603  # Go, as found on PATH
        command, cwd=sources, env=_environment(), stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    )


def _environment() -> dict[str, str]:
    return config.export_environment() | _ENVIRONMENT
