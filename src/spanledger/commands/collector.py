"""``spanledger collector``: the shipped configurations of the collectors and of what they send to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spanledger.commands.common import Commands, echo, json_option, print_json

if TYPE_CHECKING:
    from spanledger.stack.validate import Check


@click.group(cls=Commands)
def collector() -> None:
    """Configurations of the collectors, Jaeger, Prometheus and Alertmanager, and the rules that compare the views."""


@collector.command()
@json_option
def path(as_json: bool) -> None:
    """Where the shipped files are: collector files in the first line, dashboards in the second."""
    from spanledger.stack import files  # noqa: PLC0415  # only this group needs it

    places = {"collector": str(files.directory()), "dashboards": str(files.dashboards())}
    if as_json:
        print_json(places)
    else:
        echo("\n".join(places.values()))


@collector.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@json_option
def write(directory: Path, force: bool, as_json: bool) -> None:
    """Copies the collector files to DIR, to be changed and used there; existing files are kept unless --force is given."""
    from spanledger.stack import files  # noqa: PLC0415  # only this group needs it

    written = files.write(directory, force=force)
    if as_json:
        print_json([str(file) for file in written])
    else:
        echo(f"{len(written)} files written to {directory}. Use them by: spanledger stack up --config {directory}")


@collector.command()
@click.option(
    "--config",
    "given",
    metavar="PATH",
    type=click.Path(path_type=Path, exists=True),
    help="A configuration of a collector, or a folder as spanledger collector write makes it; default is the shipped one.",
)
@json_option
def validate(given: Path | None, as_json: bool) -> None:
    """Asks the real programs whether they can use the configurations; exit code 1 if one cannot, or was not there to be asked."""
    from spanledger.stack import files  # noqa: PLC0415  # only this group needs it
    from spanledger.stack import validate as checks  # noqa: PLC0415

    where = given or files.directory()
    done = []
    for check in checks.folder(where) if where.is_dir() else [checks.collector_file(where)]:
        done.append(check)
        if not as_json:
            _tell(check)
    if as_json:
        print_json([_row(check) for check in done])
    sys.exit(0 if all(check.right for check in done) else 1)


def _tell(check: Check) -> None:
    if check.right is None:
        echo(f"not checked  {check.file}: there is no {check.program}; get it by: spanledger stack build {check.program}")
        return
    echo(f"{'right' if check.right else 'WRONG':11}  {check.file} ({check.program})")
    if not check.right:
        echo("\n".join(f"    {line}" for line in check.said))


def _row(check: Check) -> dict[str, Any]:
    return {**check._asdict(), "file": str(check.file)}
