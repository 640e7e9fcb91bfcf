"""What an adapter is: a value that says what to patch and how to read it. It does nothing by itself.

An adapter opens no span, prices nothing, awaits nothing and catches nothing; it imports neither its SDK nor OpenTelemetry.
Its readers get the SDK's objects as they are, or ``Wire`` views of the JSON when the application reads the raw response itself,
so they must live with missing fields (``None``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spanledger.model import Request, Response


_FIRST_ERROR = 400


class Wire(dict[str, Any]):
    """Decoded JSON whose fields read like an SDK object's: attribute access, ``None`` where a field is missing."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


class ReadRequest(Protocol):
    """(instance the method is bound to, positional arguments, keyword arguments) -> Request. Must not consume iterators."""

    def __call__(self, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> Request: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """How one API is read.

    Attributes:
        request: what is being asked, from the arguments.
        response: folds a whole (non-streaming) result into the Response.
        chunk: folds one stream event into the Response; returns True if the application must not see this event.
        prepare: returns the keyword arguments to really send (a one-shot iterator made a list, usage asked for); the flag is
            ``SPANLEDGER_STREAM_USAGE``. Returns the mapping it was given where nothing needs to change.
        content: input of the request as the conventions' JSON: keys ``system_instructions``, ``input_messages``,
            ``tool_definitions``; called only when content capture is on.
        never_sent: whether this error of the library shows that the request never left; it costs nothing then.
    """

    request: ReadRequest
    response: Callable[[Any, Response], None]
    chunk: Callable[[Any, Response], bool | None]
    prepare: Callable[[dict[str, Any], bool], dict[str, Any]] | None = None
    content: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    never_sent: Callable[[BaseException], bool] | None = None

    def turned_away(self, error: BaseException) -> bool:
        """The provider answered with an HTTP error, or was never asked. See docs/decisions/0006-what-a-failed-call-costs.md."""
        status = getattr(error, "status_code", None)  # of both SDKs' errors; 200 if the error came inside of a stream
        if isinstance(status, int):
            return status >= _FIRST_ERROR
        return self.never_sent is not None and self.never_sent(error)


def is_told(error: BaseException) -> bool:
    """Whether it was told inside of an answer. Both SDKs raise what a stream brings as an error with that as its ``body``, anthropic's with
    the answer's status. Errors of the connection have none; in that of an answer of an unexpected form there is no error."""
    body = getattr(error, "body", None)
    if hasattr(error, "status_code"):
        return isinstance(body, dict) and bool(body.get("error"))
    return bool(body)


@dataclass(frozen=True, slots=True)
class Target:
    """One function to patch: the module that defines it and its dotted name there, as ``Completions.create``.

    ``tap`` names the attribute of a stream handed out by a context manager that holds the raw stream all ways of reading go
    through (``text_stream``, ``get_final_message`` ...); its events are what ``chunk`` reads.
    A target with a tap is a function returning a context manager; ``manager`` says so where there is nothing to tap.
    ``plugin``: a function of the application, not of a client library: calls it makes are calls of their own, and what it returns is
    handed over untouched. (A call that a client library makes inside one of its own calls is part of that one.)
    ``since``: the SDK version that brought it; an absent target is an error only from that version on.
    """

    module: str
    name: str
    reader: Reader
    tap: str | None = None
    manager: bool = False
    plugin: bool = False
    since: str = "0"


class Adapter(NamedTuple):
    """A client library: its import name, its distribution's supported versions and the functions to patch.

    A stream of one of the library's own classes is taken to be a request that was sent and whose answer only has to be decoded; one that
    may send while it is read is a generator (docs/decisions/0018-context-while-a-stream-is-read.md).
    ``native_scopes`` are the instrumentation scopes under which the library traces itself; such spans inside one of our
    calls are duplicates and never counted.
    """

    name: str
    requires: str
    targets: tuple[Target, ...]
    native_scopes: tuple[str, ...] = ()
