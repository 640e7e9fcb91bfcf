"""One stack: which services run, starting what does not, stopping all. Several stacks live side by side, on other ports."""

from __future__ import annotations

import fcntl
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from spanledger import private
from spanledger import settings as config
from spanledger.errors import StackError
from spanledger.stack import binaries, build, choice, files, processes, services
from spanledger.stack.choice import Choice
from spanledger.stack.ports import Ports, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from spanledger.stack.services import Service

START_SECONDS = 60.0
STOP_SECONDS = 15.0


class State(NamedTuple):
    """How one service is."""

    name: str
    state: str
    """``healthy``, ``unwell`` (runs but does not answer), ``dead`` (was started, ended by itself) or ``stopped``."""
    pid: int | None
    url: str
    log: Path
    purpose: str


def default_directory() -> Path:
    """SPANLEDGER_STACK_DIR, else a folder in the user's state directory."""
    settings = config.load()
    return settings.stack_dir or settings.state_dir / "stack"


class Stack:
    """The services that belong to one directory.

    Args:
        directory: where their state is; made if it does not exist, readable for the user alone.
        ports: which ports to use; by default those the services of this directory use already, or else the usual ones.
        configuration: the folder with the configurations; by default the one in use already, or else the shipped one.
    """

    def __init__(self, directory: Path, ports: Ports | None = None, configuration: Path | None = None) -> None:
        run = directory.absolute() / "run"
        self._asked = Choice(ports, configuration.absolute() if configuration else None)
        self._choice = self._asked.over(choice.remembered(run))
        self.layout = services.Layout(run.parent, self._choice.ports or Ports())

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def urls(self) -> dict[str, str]:
        """Where each service is, by its name."""
        return {service.name: self.layout.url(service.ports[0]) for service in services.SERVICES.values()}

    @property
    def environment(self) -> dict[str, str]:
        """The variables to set for the application."""
        return services.application_environment(self.layout)

    def start(
        self, only: Iterable[str] = (), *, deadline: float = START_SECONDS, progress: Callable[[str], None] = build.silent
    ) -> tuple[str, ...]:
        """Starts the services that do not run (of ``only``, default all), waits until all of them are healthy, and names those it started.

        Raises StackError, with nothing left running of what it started, if a program cannot be had, a port is taken, the directory cannot
        be written, or a service is not healthy within ``deadline`` seconds.
        """
        wanted = _services(only)
        progress("looking for programs")
        with self._writing(), self._locked():
            self._check_choice()
            missing = [service for service in wanted if not self._running(service.name)]
            programs = {name: _program(name, progress) for name in sorted({service.binary for service in missing if service.binary})}
            self._check_free(missing)
            self._prepare()
            offsets = {service.name: _size(self.layout.log(service.name)) for service in wanted}
            try:
                for service in missing:
                    self._launch(service, programs.get(service.binary or ""))
                self._wait(wanted, offsets, deadline, progress)
            except BaseException:
                self._end(missing)
                if not any(map(self._running, services.SERVICES)):
                    choice.forget(self.layout.run)
                raise
        return tuple(service.name for service in missing)

    def stop(self, *, deadline: float = STOP_SECONDS, progress: Callable[[str], None] = build.silent) -> tuple[str, ...]:
        """Stops all services and names those that ran; their state stays. One that does not end within ``deadline`` seconds is killed."""
        if not self.layout.run.is_dir():
            return ()
        with self._writing(), self._locked():
            running = [service for service in services.SERVICES.values() if self._running(service.name)]
            self._end(services.SERVICES.values(), deadline, progress)
            choice.forget(self.layout.run)
        return tuple(service.name for service in running)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Sends a signal to one service and waits for its end. Raises StackError if it does not run, or does not end."""
        process = self._running(name)
        if process is None:
            message = f"{name} does not run"
            raise StackError(message)
        processes.send(process, number)
        if not processes.ended(process, STOP_SECONDS):
            message = f"{name} (process {process.pid}) did not end within {STOP_SECONDS:g} seconds of signal {number}"
            raise StackError(message)

    def restart(self, name: str, *, deadline: float = START_SECONDS) -> None:
        """Stops one service, if it runs, and starts it again. Raises as ``start`` does."""
        if process := self._running(name):
            processes.stop(process, STOP_SECONDS)
        self.start((name,), deadline=deadline)

    def status(self) -> list[State]:
        """How every service is now."""
        return [self._state(service) for service in services.SERVICES.values()]

    def _state(self, service: Service) -> State:
        process = self._running(service.name)
        if process:
            state = "healthy" if services.healthy(service, self.layout) else "unwell"
        else:
            state = "dead" if self._pid_file(service.name).exists() else "stopped"
        url, log = self.layout.url(service.ports[0]), self.layout.log(service.name)
        return State(service.name, state, process.pid if process else None, url, log, service.purpose)

    def _running(self, name: str) -> processes.Process | None:
        process = processes.saved(self._pid_file(name))
        return process if process and processes.alive(process) else None

    def _pid_file(self, name: str) -> Path:
        return self.layout.run / f"{name}.json"

    def _check_choice(self) -> None:
        """What runs keeps what it was started with; somebody who asks for something else must be told."""
        running = [name for name in services.SERVICES if self._running(name)]
        used = choice.remembered(self.layout.run)
        if running and self._asked.over(used) != used:
            where = f"{', '.join(running)} in {self.layout.directory}"
            message = f"{where} run with other ports or configurations; use spanledger stack down first, or another --dir"
            raise StackError(message)

    def _check_free(self, missing: list[Service]) -> None:
        occupied = taken(self.layout.ports, [port for service in missing for port in service.ports])
        if occupied:
            listed = ", ".join(f"{each.port} ({each.name}) by {each.owner or 'an unknown process'}" for each in occupied)
            first = occupied[0].name
            message = f"nothing was started, ports are taken: {listed}; choose others by --port {first}=PORT or --port-base PORT"
            raise StackError(message)

    def _prepare(self) -> None:
        for folder in self.layout.folders():
            private.make_folder(folder)
        services.render(self._choice.configuration or files.directory(), self.layout)
        choice.remember(self.layout.run, self._choice)

    def _launch(self, service: Service, program: Path | None) -> None:
        command = services.command(service, self.layout, program)
        process = processes.start(command, services.environment(service, self.layout), self.layout.log(service.name))
        try:
            processes.save(self._pid_file(service.name), process)
        except OSError:
            processes.stop(process, STOP_SECONDS)  # nobody would find it again
            raise

    def _wait(self, wanted: list[Service], offsets: dict[str, int], deadline: float, progress: Callable[[str], None]) -> None:
        until = time.monotonic() + deadline
        waiting = list(wanted)
        while waiting:
            progress(f"waiting for {', '.join(service.name for service in waiting)}")
            for service in waiting:
                self._check_alive(service, offsets[service.name])
            waiting = [service for service in waiting if not services.healthy(service, self.layout)]
            if waiting and time.monotonic() > until:
                late = waiting[0]
                message = f"{late.name} is not healthy after {deadline:g} seconds; its log is {self.layout.log(late.name)}"
                raise StackError(message, processes.tail(self.layout.log(late.name), offsets[late.name]))
            time.sleep(processes.POLL_SECONDS if waiting else 0)

    def _check_alive(self, service: Service, offset: int) -> None:
        if self._running(service.name) is None:
            log = self.layout.log(service.name)
            message = f"{service.name} ended while it was starting; its log is {log}"
            raise StackError(message, processes.tail(log, offset))

    def _end(self, those: Iterable[Service], deadline: float = STOP_SECONDS, progress: Callable[[str], None] = build.silent) -> None:
        """One after the other, in the order of ``SERVICES``: what a queue holds goes to a receiver that is still there."""
        for service in those:
            if process := self._running(service.name):
                progress(f"stopping {service.name}")
                processes.stop(process, deadline)
            self._pid_file(service.name).unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where, reason = self.layout.directory, error.strerror or error
            message = f"cannot write to {where}: {reason}; choose another directory by --dir or SPANLEDGER_STACK_DIR"
            raise StackError(message) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time: two that start the same services at once would each see ports taken by the other one."""
        private.make_folder(self.layout.run)
        with open(self.layout.run / "lock", "w", opener=private.opener) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _services(only: Iterable[str]) -> list[Service]:
    names = set(only)
    unknown = sorted(names - set(services.SERVICES))
    if unknown:
        message = f"there is no service {unknown[0]}; expected some of {', '.join(services.SERVICES)}"
        raise StackError(message)
    return [service for name, service in services.SERVICES.items() if not names or name in names]


def _program(name: str, progress: Callable[[str], None]) -> Path:
    return binaries.ensure(name, lambda stage: progress(f"{name}: {stage}"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
