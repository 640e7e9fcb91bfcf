"""A tool of the application; ``SPANLEDGER_PLUGINS=application_tools:look_up`` makes it a plugin in the books."""

from __future__ import annotations


def look_up(word: str) -> str:
    """Finds a word."""
    return f"{word}: found"
