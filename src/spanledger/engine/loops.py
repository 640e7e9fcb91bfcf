"""Whether code runs in an event loop, which nothing may keep waiting, and whether its task was stopped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


def running_loop() -> AbstractEventLoop | None:
    """The asyncio loop that runs in this thread, if any."""
    asyncio = sys.modules.get("asyncio")  # who runs its loop has imported it; importing it ourselves would cost every start 20 ms
    return asyncio._get_running_loop() if asyncio is not None else None  # noqa: SLF001  # documented for this use, despite its name


def is_cancelled(error: BaseException) -> bool:
    """Whether somebody stopped the work, in asyncio, in trio (whose nurseries raise groups) or at the keyboard."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_cancelled, error.exceptions))
    return type(error).__name__ in ("CancelledError", "Cancelled", "KeyboardInterrupt")
