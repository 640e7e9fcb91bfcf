"""The ports of one stack, all on the loopback address: which they are, whether they are free, and who has them otherwise."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spanledger.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOOPBACK = "127.0.0.1"
_LAST = 65535


@dataclass(frozen=True, slots=True)
class Ports:
    """One port for each thing that listens. The defaults are those of the shipped configurations."""

    agent_grpc: int = 4317
    agent_http: int = 4318
    agent_health: int = 13133
    agent_metrics: int = 8887
    gateway_grpc: int = 4327
    gateway_http: int = 4328
    gateway_health: int = 13134
    gateway_metrics: int = 8888
    jaeger_grpc: int = 4337
    """Where Jaeger receives spans."""
    jaeger_http: int = 4338
    jaeger_query: int = 16686
    """Jaeger's API and pages."""
    jaeger_query_grpc: int = 16685
    prometheus: int = 9090
    alertmanager: int = 9093
    audit: int = 9099

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Consecutive ports from ``base``. Raises StackError if there are no such ports."""
        last = base + len(fields(cls)) - 1
        if not 1024 <= base <= last <= _LAST:
            message = f"--port-base {base}: expected a port from 1024 to {_LAST - len(fields(cls)) + 1}"
            raise StackError(message)
        return cls(*range(base, last + 1))

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody listens on now, as the system hands them out; for tests, and several stacks on one machine."""
        with ExitStack() as open_together:
            sockets = [open_together.enter_context(socket.create_server((LOOPBACK, 0))) for _ in fields(cls)]
            return cls(*(each.getsockname()[1] for each in sockets))

    def with_some(self, chosen: Mapping[str, int]) -> Ports:
        """The same with some others. Raises StackError for names that are not, and for ports given twice."""
        unknown = sorted(set(chosen) - set(self.as_dict()))
        if unknown:
            message = f"--port {unknown[0]}: there is no such port; expected one of {', '.join(self.as_dict())}"
            raise StackError(message)
        ports = replace(self, **chosen)
        seen: dict[int, str] = {}
        for name, port in ports.as_dict().items():
            if port in seen:
                message = f"port {port} was chosen for both {seen[port]} and {name}; choose another one by --port {name}=PORT"
                raise StackError(message)
            seen[port] = name
        return ports

    def as_dict(self) -> dict[str, int]:
        """Name -> port."""
        return asdict(self)


class Taken(NamedTuple):
    """A port somebody else listens on."""

    name: str
    port: int
    owner: str | None
    """``process 12 (nginx)``, None if that cannot be known: not Linux, or another user's process."""


def taken(ports: Ports, names: Iterable[str]) -> list[Taken]:
    """Which of these cannot be listened on."""
    every = ports.as_dict()
    return [Taken(name, every[name], owner(every[name])) for name in names if not _is_free(every[name])]


def _is_free(port: int) -> bool:
    try:
        socket.create_server((LOOPBACK, port)).close()  # with SO_REUSEADDR, as Go's servers: a port that was just left is free
    except OSError:
        return False
    return True


def owner(port: int) -> str | None:
    """Who listens on a port, read from /proc."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net", table), port)}
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        if inodes & _open_files(process):
            return f"process {process.name} ({_command(process)})"
    return None


def _listening(table: Path, port: int) -> list[str]:
    """Inodes of listening sockets; the columns are described in proc_pid_net(5): address is hexadecimal, state 0A is LISTEN."""
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port]


def _open_files(process: Path) -> set[str]:
    opened = set()
    with suppress(OSError):  # another user's process, or gone
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):  # closed since
                opened.add(os.readlink(descriptor))  # noqa: PTH115  # "socket:[1]" is no path
    return opened


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "unknown"
