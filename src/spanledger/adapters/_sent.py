"""Whether a call that failed ever left the process, for the clients on httpx that openai's and anthropic's makers generate alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_CONNECTED = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})
"""httpx' errors before a byte of the request is sent: https://www.python-httpx.org/exceptions/. The SDKs raise their own ``from`` them."""


_ANSWERED = ("_response.py", "_streaming.py")
"""Ends of the names of the clients' files that decode what came back."""


def never_sent(error: BaseException) -> bool:
    """True if the request was not built, or there was no connection."""
    return type(error.__cause__).__name__ in _NOT_CONNECTED or (isinstance(error, (TypeError, ValueError)) and not _reached_sending(error))


def _reached_sending(error: BaseException) -> bool:
    """The SDKs check arguments before ``BaseClient.request``, which builds the request, sends it and reads the answer. Streams, and answers
    that the application takes unparsed, are decoded after it has returned."""
    places = list(_places(error))
    in_base_client = [function for file, function in places if file.endswith("_base_client.py")]
    return ("request" in in_base_client and "_build_request" not in in_base_client) or any(file.endswith(_ANSWERED) for file, _ in places)


def _places(error: BaseException) -> Iterator[tuple[str, str]]:
    """Files and functions that the error passed."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        yield code.co_filename, code.co_name
        trace = trace.tb_next
