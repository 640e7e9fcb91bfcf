"""``spanledger stack``: collectors, Jaeger, Prometheus, Alertmanager and the audit webhook on this machine, without containers."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spanledger.commands.common import Commands, Failure, echo, json_option, print_json, print_view

if TYPE_CHECKING:
    from rich.table import Table

    from spanledger.stack.ports import Ports
    from spanledger.stack.stack import Stack, State

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
directory_option = click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Its state directory; default is SPANLEDGER_STACK_DIR, or stack in the user's state directory.",
)


@click.group(cls=Commands)
def stack() -> None:
    """Collectors, Jaeger, Prometheus, Alertmanager and the audit webhook on this machine, without containers."""


@stack.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def build(names: tuple[str, ...], as_json: bool) -> None:
    """Finds the programs, builds the missing ones.

    NAME is collector, jaeger, prometheus, promtool or alertmanager; default is all of them. They are looked for in
    SPANLEDGER_<NAME>_BIN, on PATH, and among earlier builds in the user's cache. Building needs Go.
    """
    from spanledger.stack import binaries  # noqa: PLC0415  # only this command needs it

    unknown = sorted(set(names) - set(binaries.BINARIES))
    if unknown:
        message = f"there is no program {unknown[0]}; expected some of {', '.join(binaries.BINARIES)}"
        raise Failure(message)
    rows = [_found_or_built(name) for name in names or binaries.BINARIES]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        did = f"built in {row['seconds']} s" if row["built"] else f"found ({row['source']})"
        echo(f"{row['name']}: {did}, version {row['version'] or 'unknown'}: {row['path']}")


def _found_or_built(name: str) -> dict[str, Any]:
    from spanledger.stack import binaries  # noqa: PLC0415  # as above
    from spanledger.stack.progress import shown  # noqa: PLC0415

    began = time.monotonic()
    with shown(name) as progress:
        found = binaries.locate(name, progress)
        built = found is None
        if found is None:
            found = binaries.make(name, progress)
    seconds = round(time.monotonic() - began, 1)
    return {"name": name, **found._asdict(), "path": str(found.path), "built": built, "seconds": seconds}


@stack.command()
@directory_option
@click.option("--port-base", metavar="PORT", type=int, help="Use consecutive ports from here on instead of the usual ones.")
@click.option("--port", "some", multiple=True, metavar="NAME=PORT", help="Use this port, as in prometheus=9091; may be given again.")
@click.option("--only", multiple=True, metavar="SERVICE", help="Start only this service; may be given again.")
@click.option("--config", "folder", metavar="DIR", type=_FOLDER, help="Use these configurations; spanledger collector write makes copies.")
@json_option
def up(  # noqa: PLR0913, PLR0917  # one parameter for each option
    directory: Path | None, port_base: int | None, some: tuple[str, ...], only: tuple[str, ...], folder: Path | None, as_json: bool
) -> None:
    """Starts what does not run yet.

    Programs that are nowhere are built first, as by spanledger stack build. Waits until all is healthy, and says where everything is and
    what to set for the application. The ports are those of the shipped configurations; --port names are printed by --json.
    """
    from spanledger.stack.progress import shown  # noqa: PLC0415  # the other commands' help does not need it

    ours = _stack(directory, _ports(port_base, some), folder)
    began = time.monotonic()
    with shown("stack") as progress:
        started = ours.start([name for text in only for name in text.split(",")], progress=progress)
    seconds = round(time.monotonic() - began, 1)
    states = ours.status()
    if as_json:
        print_json({**_json(ours, states), "started": list(started), "seconds": seconds})
        return
    echo(f"Started in {seconds} s: {', '.join(started)}." if started else "Everything runs already; nothing was changed.")
    print_view(lambda _: _table(states))
    echo(f"State and logs: {ours.layout.directory}\nFor the application:\n")
    for name, value in ours.environment.items():
        echo(f"    export {name}={value}")
    if directory is not None:
        echo(f"\nFor spanledger reconcile:\n\n    export SPANLEDGER_STACK_DIR={ours.layout.directory}")


@stack.command()
@directory_option
@json_option
def down(directory: Path | None, as_json: bool) -> None:
    """Stops everything; what was recorded stays."""
    from spanledger.stack.progress import shown  # noqa: PLC0415  # as above

    ours = _stack(directory)
    began = time.monotonic()
    with shown("stack") as progress:
        stopped = ours.stop(progress=progress)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        print_json({"directory": str(ours.layout.directory), "stopped": list(stopped), "seconds": seconds})
    elif stopped:
        echo(f"Stopped in {seconds} s: {', '.join(stopped)}. The state stays in {ours.layout.directory}.")
    else:
        echo("Nothing runs.")


@stack.command()
@directory_option
@json_option
def status(directory: Path | None, as_json: bool) -> None:
    """How every service is.

    The exit code is 1 if one that was started is not healthy, or none runs.
    """
    ours = _stack(directory)
    states = ours.status()
    if as_json:
        print_json(_json(ours, states))
    else:
        print_view(lambda _: _table(states))
    started = {state.state for state in states} - {"stopped"}
    sys.exit(0 if started == {"healthy"} else 1)


def _stack(directory: Path | None, ports: Ports | None = None, configuration: Path | None = None) -> Stack:
    from spanledger.stack.stack import Stack, default_directory  # noqa: PLC0415  # only this group needs it

    return Stack(directory or default_directory(), ports, configuration)


def _ports(base: int | None, some: tuple[str, ...]) -> Ports | None:
    """What was asked for; None if nothing was."""
    from spanledger.stack.ports import Ports  # noqa: PLC0415  # as above

    if base is None and not some:
        return None
    return (Ports() if base is None else Ports.from_base(base)).with_some(dict(map(_port, some)))


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not (number.isdecimal() and 0 < int(number) < 65536):
        message = f"--port {text}: expected a name and a port, such as prometheus=9091"
        raise Failure(message)
    return name, int(number)


def _json(ours: Stack, states: list[State]) -> dict[str, Any]:
    return {
        "directory": str(ours.layout.directory),
        "services": [{**state._asdict(), "log": str(state.log)} for state in states],
        "ports": ours.layout.ports.as_dict(),
        "environment": ours.environment,
    }


def _table(states: list[State]) -> Table:
    from rich.table import Table  # noqa: PLC0415  # rich takes 50 ms

    table = Table("service", "state", "pid", "address", "what it does", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    colors = {"healthy": "green", "unwell": "yellow", "dead": "red"}
    for each in states:
        table.add_row(each.name, f"[{colors.get(each.state, 'dim')}]{each.state}[/]", str(each.pid or ""), each.url, each.purpose)
    return table
