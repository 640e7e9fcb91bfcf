"""Whether a call that failed was ever worked on. What was not costs nothing; see docs/decisions/0006-what-a-failed-call-costs.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_ERROR = 400
_NOT_CONNECTED = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})
"""httpx' errors before a byte of the request is sent: https://www.python-httpx.org/exceptions/. The SDKs raise their own ``from`` them."""


def turned_away(error: BaseException) -> bool:
    """True if the provider answered with an HTTP error, or the request never left: it was not built, or there was no connection."""
    status = getattr(error, "status_code", None)  # of both SDKs' errors; 200 if the error came inside of a stream
    if isinstance(status, int):
        return status >= _FIRST_ERROR
    return type(error.__cause__).__name__ in _NOT_CONNECTED or (isinstance(error, (TypeError, ValueError)) and not _reached_sending(error))


def _reached_sending(error: BaseException) -> bool:
    """The SDKs check arguments before ``BaseClient.request``, which builds the request and sends it."""
    names = list(_in_base_client(error))
    return "request" in names and "_build_request" not in names


def _in_base_client(error: BaseException) -> Iterator[str]:
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.endswith("_base_client.py"):
            yield code.co_name
        trace = trace.tb_next
