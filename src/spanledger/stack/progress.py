"""Shows a person what takes its time: the stage and the seconds passed; a moving line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spanledger.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def shown(what: str) -> Iterator[Callable[[str], None]]:
    """Yields what is to be told each stage. If a StackError comes out, the log lines it brings are printed before it goes on."""
    try:
        with (_live if sys.stderr.isatty() else _plain)(what) as progress:
            yield progress
    except StackError as error:
        for line in error.log:
            print(f"    {line}", file=sys.stderr)
        raise


@contextmanager
def _live(what: str) -> Iterator[Callable[[str], None]]:
    from rich.console import Console  # noqa: PLC0415  # rich takes 50 ms
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda stage: bar.update(task, description=f"{what}: {stage}")


@contextmanager
def _plain(what: str) -> Iterator[Callable[[str], None]]:
    began = time.monotonic()
    last = ""

    def say(stage: str) -> None:
        nonlocal last
        if stage != last:
            last = stage
            print(f"{time.monotonic() - began:6.1f} s  {what}: {stage}", file=sys.stderr, flush=True)

    yield say
