"""The one place where our own errors stop. The application never sees them; they are logged once per place and counted.

With ``SPANLEDGER_DEBUG=true`` they are raised again, so that tests cannot pass over them. What a signal handler of the application
raised in the middle of our code is no error of ours: it goes on to the application.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from spanledger import interrupts

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("spanledger")


class Guard:
    """Counts and logs internal errors. ``count(place)`` is told of each."""

    def __init__(self, *, debug: bool = False) -> None:
        self.debug = debug
        self.count: Callable[[str], None] = lambda _place: None
        self._seen: dict[tuple[str, type], object] = {}

    def caught(self, place: str, error: BaseException) -> None:
        """An error of ours was caught at ``place``. Logs it the first time, always counts it. Raises what is none of ours."""
        if interrupts.raised_by_handler(error):
            raise error
        self.count(place)
        mine = object()
        if self._seen.setdefault((place, type(error)), mine) is mine:  # in one step, without a lock that a handler could find taken
            # The message may quote what was being processed, so only its type and our own lines are logged.
            log.warning("internal error in %s: %s at %s; the call goes on", place, type(error).__name__, _where(error))
        if self.debug:
            raise error

    def run(self, place: str, function: Callable[..., Any], *args: Any) -> Any:
        """Calls ``function``; on an error of ours returns None."""
        try:
            return function(*args)
        except Exception as error:  # noqa: BLE001  # this is the one place
            self.caught(place, error)
            return None


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown place"
