"""The wrapper that stands in a library's place: a function to whoever copies or pickles it, as process pools do."""

from __future__ import annotations

import copy
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:  # generic since wrapt 2 only, and only for type checkers
    Bound = wrapt.BoundFunctionWrapper[..., Any]
    Function = wrapt.FunctionWrapper[..., Any]
else:
    Bound, Function = wrapt.BoundFunctionWrapper, wrapt.FunctionWrapper


def _by_name(function: Any) -> tuple[Any, tuple[str]]:
    """How functions are pickled: by where they are found. What is found there may be wrapped in the other process or not."""
    return resolve_name, (f"{function.__module__}:{function.__qualname__}",)


class BoundWrapper(Bound):
    """A method of an object or class."""

    def __reduce_ex__(self, _protocol: Any) -> Any:
        owner = self._self_instance
        return _by_name(self) if owner is None else (getattr, (owner, self.__name__))

    def __copy__(self) -> BoundWrapper:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        owner = self._self_instance
        return self if owner is None else getattr(copy.deepcopy(owner, memo), self.__name__)


class Wrapper(Function):
    """A function."""

    __bound_function_wrapper__ = BoundWrapper

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return _by_name(self)

    def __copy__(self) -> Wrapper:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Wrapper:
        return self
