"""Starting programs that outlive us, knowing them again, and stopping them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger import private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL_SECONDS = 0.05
_KEEP_LOG = 10_000_000
_started: dict[int, subprocess.Popen[bytes]] = {}
"""Children of this very process. Nobody else can take note of their end, and until then their pid stays in use."""


class Process(NamedTuple):
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    born: str
    """When it was started, as the system tells it."""


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Starts a program in a session of its own, so that it survives ours, with its output appended to ``log``.

    Raises OSError if that cannot be done.
    """
    if log.exists() and log.stat().st_size > _KEEP_LOG:
        log.replace(log.with_suffix(".log.1"))
    with open(log, "ab", opener=private.opener) as output:
        child = subprocess.Popen(  # noqa: S603  # a program of the stack
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, umask=0o077
        )
    _started[child.pid] = child
    return Process(child.pid, _birth(child.pid) or "")


def alive(process: Process) -> bool:
    """Whether it runs; one that has ended, but that its parent has not taken note of, does not."""
    if process.pid in _started and _started[process.pid].poll() is not None:
        del _started[process.pid]
    return _birth(process.pid) == process.born


def send(process: Process, number: int) -> None:
    """Sends a signal, if it still runs."""
    if alive(process):
        os.kill(process.pid, number)


def stop(process: Process, deadline: float) -> None:
    """Asks it to end, and ends it after ``deadline`` seconds."""
    send(process, signal.SIGTERM)
    if not ended(process, deadline):
        send(process, signal.SIGKILL)
        ended(process, deadline)


def ended(process: Process, deadline: float) -> bool:
    """Waits for its end for ``deadline`` seconds, and tells whether it came."""
    until = time.monotonic() + deadline
    while alive(process):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _birth(pid: int) -> str | None:
    """A mark that differs for each process which ever had this pid; None if there is none now."""
    try:
        # proc_pid_stat(5): the name, in parentheses, may contain anything; then field 3 is the state, 20 the count of threads, 22 the start
        # in ticks since boot. A zombie with threads is not over: its last thread is what closes its sockets.
        after_name = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None if Path("/proc/self").exists() else _birth_without_proc(pid)
    over = after_name[0] in "ZX" and int(after_name[17]) <= 1
    return None if over else f"{boot} {after_name[19]}"


def _birth_without_proc(pid: int) -> str | None:
    said = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607  # macOS has it
    state, _, started = said.stdout.strip().partition(" ")
    return started.strip() or None if not state.startswith("Z") else None


def save(path: Path, process: Process) -> None:
    """Writes down which process it is."""
    private.write(path, json.dumps(process._asdict()))


def saved(path: Path) -> Process | None:
    """The process that was written down, None if there is none or what is there makes no sense."""
    value = read_json(path)
    try:
        return Process(int(value["pid"]), str(value["born"]))
    except (KeyError, ValueError, TypeError):
        return None


def read_json(path: Path) -> dict[str, Any]:
    """What a small file says; empty if there is none or it is not a JSON object."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def tail(log: Path, offset: int, lines: int = 12) -> tuple[str, ...]:
    """The last lines written after ``offset`` bytes."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, log.stat().st_size - 20_000))
            return tuple(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ()
