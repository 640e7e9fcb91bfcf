"""Stands for a library's object towards the application.

``wrapt.ObjectProxy`` answers every protocol of Python, so that an asynchronous stream looks iterable, sized and callable to who asks
``hasattr`` or ``isinstance(result, Iterable)``. This one has only what its subclasses define; all else is the wrapped object's.
"""

from __future__ import annotations

from typing import Any

_OWN = ("_self_", "__wrapped__")


class Proxy:
    """``isinstance``, attributes, comparison and text are the wrapped object's. Names that begin with ``_self_`` are the proxy's own."""

    __wrapped__: Any

    def __init__(self, wrapped: Any, **own: Any) -> None:
        self.__dict__.update(own, __wrapped__=wrapped)  # past __setattr__, which looks at each name

    @property  # type: ignore[misc]  # read by isinstance
    def __class__(self) -> type[Any]:
        return self.__wrapped__.__class__  # type: ignore[no-any-return]  # which need not be its type: that may be another's proxy

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_OWN):  # not there yet, or no more
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith(_OWN):
            object.__setattr__(self, name, value)
        else:
            setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __dir__(self) -> list[str]:
        return dir(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == (other.__wrapped__ if type(other) is type(self) else other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)
