"""Puts wrappers in place when a library is imported, and takes out exactly what was put in.

wrapt's post-import hooks cannot be unregistered, so each module is hooked once per process and the hook looks at what is wanted then.
An exception in a hook would break the application's import: every hook is guarded.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


@dataclass
class Patch:
    """One replaced attribute and what was there."""

    parent: Any
    name: str
    ours: Any
    own: bool
    """Whether the parent itself had the attribute, rather than inheriting it."""
    original: Any

    def undo(self) -> bool:
        """Restores what was there. False if somebody wrapped over ours since; then ours stays, inert."""
        if vars(self.parent).get(self.name) is not self.ours:
            return False
        if self.own:
            setattr(self.parent, self.name, self.original)
        else:
            delattr(self.parent, self.name)
        return True


def patch(module: ModuleType, dotted: str, wrap: Callable[[Any], Any]) -> Patch:
    """Replaces ``module.dotted`` by ``wrap`` of it. Raises AttributeError if it is not there.

    The raw descriptor is wrapped (as found in ``__dict__`` along the method resolution order), so static and class methods stay such.
    """
    *path, name = dotted.split(".")
    parent: Any = module
    for part in path:
        parent = getattr(parent, part)
    original = _static(parent, name)
    ours = wrap(original)
    own = name in vars(parent)
    setattr(parent, name, ours)
    return Patch(parent, name, vars(parent)[name], own, original)


def _static(parent: Any, name: str) -> Any:
    for owner in parent.__mro__ if isinstance(parent, type) else (parent,):
        if name in vars(owner):
            return vars(owner)[name]
    message = f"{getattr(parent, '__qualname__', parent.__name__)} has no {name}"
    raise AttributeError(message)


_wanted: dict[str, list[Callable[[ModuleType], None]]] = {}
"""Modules with a hook that has not fired yet, and what to do then."""
_lock = threading.Lock()


def when_imported(module: str, action: Callable[[ModuleType], None]) -> None:
    """Runs ``action(module)`` now if the module is imported, else when it is. ``action`` must not raise."""
    loaded = sys.modules.get(module)
    if loaded is not None and not _initialising(loaded):
        action(loaded)
        return
    with _lock:
        first = module not in _wanted
        _wanted.setdefault(module, []).append(action)
    if first:
        wrapt.register_post_import_hook(_run_wanted, module)


def _initialising(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _run_wanted(module: ModuleType) -> None:
    actions = _wanted.get(module.__name__, [])
    while actions:  # an action may want more of the same module
        actions.pop(0)(module)
    with _lock:
        _wanted.pop(module.__name__, None)


def forget_wanted() -> None:
    """Hooks that fire from now on do nothing."""
    with _lock:
        for actions in _wanted.values():
            actions.clear()
