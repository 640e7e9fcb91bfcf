"""Client libraries as they are here: what version is installed, what of it is patched, and what should be there and is not."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spanledger import adapters

if TYPE_CHECKING:
    from spanledger.engine.adapter import Adapter


@dataclass
class Library:
    """What became of one client library. Its adapter is loaded when the library is imported."""

    name: str
    adapter: Adapter | None = None
    patched: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def version(self) -> str | None:
        """The installed version, None if the library is not installed."""
        import importlib.metadata  # noqa: PLC0415  # 4 ms that only the status command needs

        try:
            return importlib.metadata.version(self.name)
        except importlib.metadata.PackageNotFoundError:
            return None

    def load(self) -> Adapter:
        """Its adapter: the one that was given, else the one we know."""
        self.adapter = self.adapter or adapters.load(self.name)
        return self.adapter

    def status(self) -> dict[str, Any]:
        """For ``spanledger status``: names of what is patched, and of what this version should have and has not."""
        version = self.version
        return {
            "library": self.name,
            "version": version,
            "supported": self.adapter.requires if self.adapter is not None else None,
            "patched": self.patched,
            "absent": [place for place in self.absent if version is None or self._has(version, place)],
            "state": "patched" if self.patched else "not installed" if version is None else "not imported",
        }

    def _has(self, version: str, place: str) -> bool:
        """Whether a target should be there in this version."""
        targets = self.adapter.targets if self.adapter is not None else ()
        since = next((target.since for target in targets if f"{target.module}:{target.name}" == place), "0")
        return _numbers(version) >= _numbers(since)

    def import_targets(self) -> None:
        """Imports the library, if it is installed, with all modules that are patched."""
        if importlib.util.find_spec(self.name) is None:
            return
        for module in (self.name, *(target.module for target in adapters.load(self.name).targets)):
            try:
                importlib.import_module(module)
            except ImportError:  # a module of another version of the library
                continue


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2] if part.isdigit()]
