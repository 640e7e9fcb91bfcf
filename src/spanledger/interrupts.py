"""Signal handlers are the application's code, but run in the middle of ours: in the main thread, wherever it happens to be.

What they raise is the application's: the time limits of task queues (Celery, RQ) come that way, as subclasses of ``Exception``. And a
handler that makes a call meets the locks that the code below it holds, which cannot let go before the handler returns.
"""

from __future__ import annotations

import inspect
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def raised_by_handler(error: BaseException) -> bool:
    """Whether a signal handler raised ``error``, so that it belongs to the application, whatever code it came through.

    Python hands a handler the frame that it interrupts; nothing else is called with the frame that it is called from.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        if _is_argument(trace.tb_frame, trace.tb_next.tb_frame):
            return True
        trace = trace.tb_next
    return False


def _is_argument(frame: FrameType, called: FrameType) -> bool:
    code = called.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
    for name in code.co_varnames[:count]:
        value = called.f_locals.get(name)
        if value is frame or (type(value) is tuple and any(one is frame for one in value)):
            return True
    return False


def is_interrupted(thing: object) -> bool:
    """Whether a handler that is running has interrupted a method of ``thing``: to wait until that is done is to wait for ever."""
    if threading.get_ident() != threading.main_thread().ident:
        return False
    called = sys._getframe()  # noqa: SLF001  # as traceback.walk_stack does
    frame = called.f_back
    while frame is not None and not _is_argument(frame, called):
        called, frame = frame, frame.f_back
    while frame is not None and not _is_method(frame, thing):
        frame = frame.f_back
    return frame is not None


def _is_method(frame: FrameType, thing: object) -> bool:
    return frame.f_code.co_varnames[:1] == ("self",) and frame.f_locals.get("self") is thing
