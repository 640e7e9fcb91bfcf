"""Asks the real programs whether they can use the configurations. Where a program is missing, its file counts as not checked."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spanledger import settings as config
from spanledger.stack import binaries, processes, services
from spanledger.stack.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 600.0
"""The tests of the rules simulate days, which takes a minute on a busy machine."""


class Check(NamedTuple):
    """What one program said of one file."""

    file: Path
    program: str
    right: bool | None
    """None: the program is not there."""
    said: tuple[str, ...] = ()


def collector_file(file: Path) -> Check:
    """One configuration of a collector. A variable that is not set is named: the collector itself only misses its value."""
    check = _ask(file, "collector", "validate", "--config")
    missing = tuple(_unset(file))
    return check._replace(right=False, said=missing + check.said) if missing and check.right is not None else check


def _unset(file: Path) -> Iterator[str]:
    """One line for each variable without a value or a default."""
    known = config.export_environment()
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        for name in re.findall(r"\$\{env:(\w+)\}", line.split("#", 1)[0]):
            if name not in known:
                default = f"${{env:{name}:-127.0.0.1:4317}}"
                yield f"{file}:{number}: the variable {name} is not set; expected a value for it, or a default as in {default}"


def folder(directory: Path) -> Iterator[Check]:
    """All configurations and rules in a folder that is laid out as the shipped one, one after the other."""
    yield collector_file(directory / "agent.yaml")
    yield collector_file(directory / "gateway.yaml")
    yield _ask(directory / "jaeger.yaml", "jaeger", "validate", "--config")
    yield _ask(directory / "prometheus.yaml", "promtool", "check", "config")
    for tests in sorted((directory / "rules").glob("*.tests.yaml")):
        yield _ask(tests, "promtool", "test", "rules")
    yield _start_alertmanager(directory / "alertmanager.yaml")


def _ask(file: Path, name: str, *arguments: str) -> Check:
    program = binaries.find(name)
    if program is None:
        return Check(file, name, None)
    with tempfile.TemporaryDirectory() as scratch:
        environment = services.environment(services.SERVICES["gateway"], services.Layout(Path(scratch), Ports()))
        try:
            answer = subprocess.run(  # noqa: S603  # a program of the stack
                [program, *arguments, str(file)],
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Check(file, name, False, (f"no answer within {_SECONDS:g} s",))
    return Check(file, name, answer.returncode == 0, tuple((answer.stdout + answer.stderr).splitlines()))


def _start_alertmanager(file: Path) -> Check:
    """It has no command for checking: it is started for a moment, on a free port, with an empty store, and ends by itself if it cannot."""
    service = services.SERVICES["alertmanager"]
    program = binaries.find("alertmanager")
    if program is None:
        return Check(file, service.name, None)
    with tempfile.TemporaryDirectory() as scratch:
        layout = services.Layout(Path(scratch), Ports.free())
        log = Path(scratch, "log")
        layout.config.mkdir()
        (layout.config / "alertmanager.yaml").symlink_to(file.absolute())
        process = processes.start(services.command(service, layout, program), services.environment(service, layout), log)
        try:
            return Check(file, service.name, _becomes_healthy(process, layout), processes.tail(log, 0))
        finally:
            processes.stop(process, _SECONDS)


def _becomes_healthy(process: processes.Process, layout: services.Layout) -> bool:
    until = time.monotonic() + _SECONDS
    while processes.alive(process) and time.monotonic() < until:
        if services.healthy(services.SERVICES["alertmanager"], layout):
            return True
        time.sleep(processes.POLL_SECONDS)
    return False
