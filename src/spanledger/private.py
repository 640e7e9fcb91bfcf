"""Folders and files that only their owner can read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it that are missing, with mode 0700; those that exist keep theirs.

    https://specifications.freedesktop.org/basedir-spec asks for that mode; ``mkdir(parents=True)`` gives it to the last one only.
    """
    for missing in reversed([folder for folder in (path, *path.parents) if not folder.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(exist_ok=True)  # raises if it is a file


def opener(path: str, flags: int) -> int:
    """For ``open``: a file it makes has mode 0600."""
    return os.open(path, flags, 0o600)


def write(path: Path, text: str) -> None:
    """Replaces a file in one step, so that a reader never sees half of it."""
    scratch = path.with_name(f"{path.name}.new")
    with open(scratch, "w", encoding="utf-8", opener=opener) as file:
        file.write(text)
    scratch.replace(path)
