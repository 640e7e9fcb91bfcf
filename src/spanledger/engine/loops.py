"""Whether code runs in an event loop, which nothing may keep waiting."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


def running_loop() -> AbstractEventLoop | None:
    """The asyncio loop that runs in this thread, if any."""
    asyncio = sys.modules.get("asyncio")  # who runs its loop has imported it; importing it ourselves would cost every start 20 ms
    return asyncio._get_running_loop() if asyncio is not None else None  # noqa: SLF001  # documented for this use, despite its name
