"""Whether a call that failed ever left the process, for the clients on httpx that openai's and anthropic's makers generate alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_CONNECTED = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})
"""httpx' errors before a byte of the request is sent: https://www.python-httpx.org/exceptions/. The SDKs raise their own ``from`` them."""


def never_sent(error: BaseException) -> bool:
    """True if the request was not built, or there was no connection."""
    return type(error.__cause__).__name__ in _NOT_CONNECTED or (isinstance(error, (TypeError, ValueError)) and not _reached_sending(error))


def _reached_sending(error: BaseException) -> bool:
    """The SDKs check arguments before ``BaseClient.request``, which builds the request, sends it and reads the answer."""
    names = list(_in_base_client(error))
    return "request" in names and "_build_request" not in names


def _in_base_client(error: BaseException) -> Iterator[str]:
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.endswith("_base_client.py"):
            yield code.co_name
        trace = trace.tb_next
